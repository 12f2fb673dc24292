"""Docker's events and logs as async iterators, each fed by a thread of its own."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from urllib.parse import quote

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
from orchestrator.engine.docker_feed import Opened, ask_for, feed
from orchestrator.model.container import ContainerPhase, ContainerState

MAX_LINE_BYTES = 16_384
"""Docker's own piece; a longer line arrives in several, of which the first is kept."""

_REOPEN_PAUSE_SECONDS = 0.05
_LOOK_AGAIN_SECONDS = 30
_HEADER = struct.Struct(">BxxxL")
_STREAMS = {1: "stdout", 2: "stderr"}


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
    ask = ask_for("/events", {"filters": json.dumps(every), "since": _since(since)})
    return feed(clients, ask, _parse_events, opened)


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
    ask = ask_for(f"/containers/{quote(container_id, safe='')}/logs", {**switches, **window})
    return feed(clients, ask, parse_log)


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
