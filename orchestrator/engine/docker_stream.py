"""Docker's endless answers (events, logs) as async iterators, each fed by a thread of its own.

The thread ends when the consumer stops: its socket is shut down, so it never lingers in a read.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import docker
import docker.errors
import requests

from orchestrator.engine.base import (
    ContainerNotFound,
    EngineEvent,
    EngineEventKind,
    EngineUnavailable,
    LogLine,
)
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_codec import (
    EVENT_ACTIONS,
    decode_event,
    decode_state,
    nanoseconds,
)
from orchestrator.model.container import ContainerPhase, ContainerState

T = TypeVar("T")

MAX_LINE_BYTES = 16_384
"""Docker's own piece; a longer line arrives in several, of which the first is kept."""

_BOUND = 1_024  # items between thread and consumer; then the engine has to wait
_OPEN_TIMEOUT_SECONDS = 10
_REOPEN_PAUSE_SECONDS = 0.05
_LOOK_AGAIN_SECONDS = 30
_HEADER = struct.Struct(">BxxxL")
_STREAMS = {1: "stdout", 2: "stderr"}

Ask = Callable[[docker.APIClient], requests.Response]
Parse = Callable[[Iterable[bytes]], Iterator[T]]
Opened = Callable[[], None] | None


class _Stopped(Exception):
    """The consumer went away."""


class _Feed(Generic[T]):
    """Items from one thread to one consumer, at most `_BOUND` of them under way."""

    def __init__(
        self, clients: DockerClients, ask: Ask, parse: Parse[T], opened: Opened = None
    ) -> None:
        self._clients, self._ask, self._parse = clients, ask, parse
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._room = threading.Semaphore(_BOUND)
        self._items: deque[T] = deque()
        self._socket: socket.socket | None = None
        self._stopped = self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._carry, name="docker-stream", daemon=True)
        self._thread.start()

    async def items(self) -> AsyncIterator[T]:
        while True:
            while self._items:
                self._room.release()
                yield self._items.popleft()
            if self._ended:
                break
            self._wake.clear()
            await self._wake.wait()
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        self._stopped = True
        self._room.release()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        while not self._ended:
            self._wake.clear()
            await self._wake.wait()
        self._thread.join()

    def _carry(self) -> None:
        try:
            with self._clients.translated():
                self._read()
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 — handed to the consumer, who raises it
            self._error = error
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
            self._socket.settimeout(None)  # it was for the answer's head; silence is no failure
            if self._stopped:
                raise _Stopped  # before there was a socket that `aclose` could have shut down
            if self._opened is not None:
                self._loop.call_soon_threadsafe(self._opened)
            for item in self._parse(response.iter_content(chunk_size=None)):
                self._room.acquire()
                if self._stopped:
                    raise _Stopped
                self._items.append(item)
                self._loop.call_soon_threadsafe(self._wake.set)

    def _end(self) -> None:
        self._ended = True
        self._wake.set()


async def _stream(
    clients: DockerClients, ask: Ask, parse: Parse[T], opened: Opened = None
) -> AsyncGenerator[T, None]:
    async with aclosing(_Feed(clients, ask, parse, opened)) as feed:
        async for item in feed.items():
            yield item


def _socket_of(response: requests.Response) -> socket.socket:
    raw: Any = response.raw
    found: socket.socket = raw._fp.fp.raw._sock  # noqa: SLF001 — no public way; the SDK does so too
    return found


def _raise_for_status(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def _get(path: str, params: Mapping[str, Any]) -> Ask:
    def ask(api: docker.APIClient) -> requests.Response:
        url = f"{api.base_url}/v{api.api_version}{path}"
        return api.get(url, params=params, stream=True, timeout=_OPEN_TIMEOUT_SECONDS)

    return ask


async def follow_events(
    clients: DockerClients, labels: Mapping[str, str], *, since: float, opened: Opened = None
) -> AsyncIterator[EngineEvent]:
    """Container events for ever; the end of the stream is the end of the engine."""
    filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
    async with aclosing(_events(clients, filters, since=since, opened=opened)) as events:
        async for event in events:
            # Docker also matches labels that come from the image.
            if labels.items() <= set(event.labels):
                yield event
    raise EngineUnavailable(
        f"The Docker engine at {clients.address} ended its stream of events: has it stopped?"
    )


def _events(
    clients: DockerClients,
    filters: Mapping[str, list[str]],
    *,
    since: float,
    opened: Opened = None,
) -> AsyncGenerator[EngineEvent, None]:
    every = {**filters, "type": ["container"], "event": list(EVENT_ACTIONS)}
    ask = _get("/events", {"filters": json.dumps(every), "since": _since(since)})
    return _stream(clients, ask, _parse_events, opened)


def _parse_events(chunks: Iterable[bytes]) -> Iterator[EngineEvent]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip() and (event := decode_event(json.loads(line))):
                yield event


async def follow_logs(
    clients: DockerClients, container_id: str, *, follow: bool, since: float, tail: int | None
) -> AsyncIterator[LogLine]:
    """Log lines; with `follow` over every restart until the container is removed.

    Docker ends a followed log when the container stops. We wait for the next start, and go on
    behind the last line seen.
    """
    last = 0
    window = {"since": _since(since), "tail": "all" if tail is None else str(tail)}
    while True:
        async with aclosing(_log(clients, container_id, follow=follow, window=window)) as lines:
            async for at, line in lines:
                last = at
                yield line
        stopped = await _next_start(clients, container_id) if follow else None
        if stopped is None:
            return
        last = max(last, int(stopped * 1e9)) + 1
        window = {"since": f"{last // 10**9}.{last % 10**9:09d}", "tail": "all"}
        await asyncio.sleep(_REOPEN_PAUSE_SECONDS)


def _log(
    clients: DockerClients, container_id: str, *, follow: bool, window: Mapping[str, str]
) -> AsyncGenerator[tuple[int, LogLine], None]:
    switches = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
    ask = _get(f"/containers/{quote(container_id, safe='')}/logs", {**switches, **window})
    return _stream(clients, ask, parse_log)


def parse_log(chunks: Iterable[bytes]) -> Iterator[tuple[int, LogLine]]:
    """Each line with its time in nanoseconds, out of Docker's multiplexed frames."""
    begun: dict[int, tuple[int, bytearray]] = {}
    for stream, payload in _frames(chunks):
        stamp, _, piece = payload.partition(b" ")
        at, text = begun.setdefault(stream, (nanoseconds(stamp.decode()), bytearray()))
        text += piece[: MAX_LINE_BYTES - len(text)]
        if piece.endswith(b"\n"):
            yield at, _line(stream, *begun.pop(stream))
    for stream, (at, text) in begun.items():
        yield at, _line(stream, at, text)


def _line(stream: int, at: int, text: bytearray) -> LogLine:
    words = text.removesuffix(b"\n").decode(errors="replace")
    return LogLine(stream=_STREAMS.get(stream, "stdout"), at=at / 1e9, text=words)


def _frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(stream, payload): a frame is eight bytes of head, the last four its length, and payload."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(buffer)
            end = _HEADER.size + length
            if len(buffer) < end:
                break
            yield stream, bytes(buffer[_HEADER.size : end])
            del buffer[:end]


async def _next_start(clients: DockerClients, container_id: str) -> float | None:
    """Wait until it runs again; when it had stopped, or None once it is removed.

    Events are replayed from the moment it stopped, so none falls between; the engine remembers
    but 256 of them, hence the look again.
    """
    while (state := await _inspect(clients, container_id)) is not None:
        if state.phase in {ContainerPhase.RUNNING, ContainerPhase.PAUSED}:
            return state.finished_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await _started_or_removed(clients, container_id, since=state.finished_at)
    return None


async def _started_or_removed(clients: DockerClients, container_id: str, *, since: float) -> None:
    filters = {"container": [container_id]}
    async with aclosing(_events(clients, filters, since=since)) as events:
        async for event in events:
            if event.kind in {EngineEventKind.STARTED, EngineEventKind.REMOVED}:
                return


async def _inspect(clients: DockerClients, container_id: str) -> ContainerState | None:
    with contextlib.suppress(ContainerNotFound):
        return decode_state(await clients.run(lambda api: api.inspect_container(container_id)))
    return None


def _since(at: float) -> str:
    """A microsecond early, for a float is no finer: twice is better than never."""
    return f"{max(0, int(at * 1e6) - 1) / 1e6:.6f}"
