"""Docker's endless answers, each read by a thread of its own.

The thread ends when it is told to: its socket is shut down, so it never lingers in a read.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

import docker
import docker.errors
import requests

from orchestrator.engine.docker_client import DockerClients

T = TypeVar("T")

_BOUND: Final = 1_024  # items between thread and consumer; then the engine has to wait
_OPEN_TIMEOUT_SECONDS: Final = 10
_PIECE_BYTES: Final = 65_536
"""Most that is held of what the engine sends at once, however large it says that its piece is."""

Ask = Callable[[docker.APIClient], requests.Response]
Parse = Callable[[Iterable[bytes]], Iterator[T]]
Opened = Callable[[], None] | None


class Stopped(Exception):
    """Nobody wants the rest."""


class Carrier(Generic[T]):
    """One thread, which hands each item of one answer to `take`.

    `take` is called in that thread and may raise Stopped; `opened` and `ended` are called in the
    loop. With `silence_seconds` an engine that says nothing for so long ends it as unavailable.
    """

    def __init__(
        self,
        clients: DockerClients,
        ask: Ask,
        parse: Parse[T],
        take: Callable[[T], None],
        *,
        ended: Callable[[], None],
        opened: Opened = None,
        silence_seconds: float | None = None,
    ) -> None:
        self.error: Exception | None = None
        """What ended it, if it was not the engine in good order nor we."""
        self._clients, self._ask, self._parse, self._take = clients, ask, parse, take
        self._on_opened, self._on_ended = opened, ended
        self._silence_seconds = silence_seconds
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._socket: socket.socket | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._carry, name="docker-stream", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def stop(self) -> None:
        """Have the thread end soon; waits for nothing."""
        self._stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    async def aclose(self) -> None:
        self.stop()
        await self._ended.wait()
        self._thread.join()

    def _carry(self) -> None:
        try:
            with self._clients.translated():
                self._read()
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 — handed to the consumer, who raises it
            self.error = error
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._end)

    def _read(self) -> None:
        with (
            contextlib.closing(self._clients.own(timeout=_OPEN_TIMEOUT_SECONDS)) as api,
            contextlib.closing(self._ask(api)) as response,
        ):
            _raise_for_status(response)
            self._socket = _socket_of(response)
            self._socket.settimeout(self._silence_seconds)  # so far it was for the answer's head
            self._check()  # before there was a socket that `stop` could have shut down
            if self._on_opened is not None:
                self._loop.call_soon_threadsafe(self._on_opened)
            for item in self._parse(response.iter_content(chunk_size=_PIECE_BYTES)):
                self._check()
                self._take(item)

    def _check(self) -> None:
        if self._stopped:
            raise Stopped

    def _end(self) -> None:
        self._ended.set()
        self._on_ended()


class _Feed(Generic[T]):
    """Items from one thread to one consumer, at most `_BOUND` of them under way."""

    def __init__(
        self, clients: DockerClients, ask: Ask, parse: Parse[T], opened: Opened = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._room = threading.Semaphore(_BOUND)
        self._items: deque[T] = deque()
        self._closed = False
        self._carrier = Carrier(
            clients, ask, parse, self._take, opened=opened, ended=self._wake.set
        )

    async def items(self) -> AsyncIterator[T]:
        while True:
            while self._items:
                self._room.release()
                yield self._items.popleft()
            if self._carrier.ended:
                break
            self._wake.clear()
            await self._wake.wait()
        if self._carrier.error is not None:
            raise self._carrier.error

    async def aclose(self) -> None:
        self._closed = True
        self._room.release()
        await self._carrier.aclose()

    def _take(self, item: T) -> None:
        self._room.acquire()
        if self._closed:
            raise Stopped
        self._items.append(item)
        self._loop.call_soon_threadsafe(self._wake.set)


async def feed(
    clients: DockerClients, ask: Ask, parse: Parse[T], opened: Opened = None
) -> AsyncGenerator[T, None]:
    """Every item in order, to the end of the answer; closing it ends the thread."""
    async with aclosing(_Feed(clients, ask, parse, opened)) as opened_feed:
        async for item in opened_feed.items():
            yield item


def ask_for(path: str, params: Mapping[str, Any]) -> Ask:
    """A GET whose answer comes bit by bit."""

    def ask(api: docker.APIClient) -> requests.Response:
        url = f"{api.base_url}/v{api.api_version}{path}"
        return api.get(url, params=params, stream=True, timeout=_OPEN_TIMEOUT_SECONDS)

    return ask


def _socket_of(response: requests.Response) -> socket.socket:
    raw: Any = response.raw
    found: socket.socket = raw._fp.fp.raw._sock  # noqa: SLF001 — no public way; the SDK does so too
    return found


def _raise_for_status(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
