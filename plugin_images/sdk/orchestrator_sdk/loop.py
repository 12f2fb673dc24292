"""The one event loop for `async def` methods, in a thread of its own, started when first needed."""

from collections.abc import AsyncIterator, Awaitable, Iterator
from threading import Lock, Thread
from typing import Any

from orchestrator_sdk.call import CURRENT


class LoopThread:
    """Runs awaitables for threads that wait for them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: Any = None
        self._thread: Thread | None = None

    def run(self, awaitable: Awaitable[Any], *, to_the_end: bool = False) -> Any:
        """The result; unless `to_the_end`, it is cancelled when the host gives the call up."""
        import asyncio  # noqa: PLC0415 - 30 ms that plugins without `async def` do not pay

        loop = self._started()
        coroutine = _awaited(awaitable) if to_the_end else _watched(awaitable, loop)
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def iterate(self, source: AsyncIterator[bytes]) -> Iterator[bytes]:
        """An asynchronous iterator as a plain one."""
        try:
            while True:
                try:
                    yield self.run(source.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                self.run(close(), to_the_end=True)

    def close(self) -> None:
        """Stop the loop, if there is one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=5)
            if not thread.is_alive():
                loop.close()

    def _started(self) -> Any:
        import asyncio  # noqa: PLC0415 - as above

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="async", daemon=True)
                self._thread.start()
            return self._loop


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _watched(awaitable: Awaitable[Any], loop: Any) -> Any:
    import asyncio  # noqa: PLC0415 - as above

    call = CURRENT.get()
    if call is None or call.connection is None:
        return await awaitable
    task, connection = asyncio.current_task(), call.connection

    def readable() -> None:
        # No request comes before this one is answered: readable means end of file.
        loop.remove_reader(connection)
        if call.cancelled() and task is not None:
            task.cancel()

    loop.add_reader(connection, readable)
    try:
        return await awaitable
    finally:
        loop.remove_reader(connection)
