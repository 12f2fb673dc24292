"""CollectingSink: an answer gathered whole, for callers that want a value and not a stream."""

import asyncio

from orchestrator.sandbox.call import CallFailure, Reply
from orchestrator.sandbox.exchange import Exchange


class CollectingSink:
    """Bounded by the connection's own cap on answers."""

    def __init__(self) -> None:
        self._head: tuple[int, str] = (0, "")
        self._body = bytearray()
        self._done: asyncio.Future[Reply | CallFailure] = asyncio.get_running_loop().create_future()

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None:
        self._head = (status, content_type)

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_end(self) -> None:
        status, content_type = self._head
        self._set(Reply(status=status, content_type=content_type, body=bytes(self._body)))

    def on_failure(self, failure: CallFailure) -> None:
        self._set(failure)

    def on_request_flow(self, *, paused: bool) -> None:
        """The body is in memory already: there is nobody to hold back."""

    async def result(self, exchange: Exchange) -> Reply | CallFailure:
        """The answer; a cancelled wait abandons the call."""
        try:
            return await self._done
        except asyncio.CancelledError:
            exchange.abandon()
            raise

    def _set(self, result: Reply | CallFailure) -> None:
        if not self._done.done():
            self._done.set_result(result)
