"""StatsStreams: what containers use, by the engine's own word; their groups are out of sight.

The engine measures once a second, and each single answer waits for that. So it is asked once for
each container, and goes on to tell every second; the newest line is kept, and read only when
somebody asks.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from orchestrator.clock import Clock
from orchestrator.engine.base import ContainerNotFound, EngineFailure, EngineUnavailable
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_feed import Carrier, Stopped, ask_for
from orchestrator.engine.stats_codec import decode_line, decode_usage, whole_lines
from orchestrator.engine.usage import Usage

MAX_STREAMS: Final = 256
"""Each has a thread and a connection, 70 KiB; containers beyond are asked for single shots."""
IDLE_SECONDS: Final = 60.0
"""A stream that nobody reads ends."""
STALE_SECONDS: Final = 5.0
"""An engine that says nothing for so long hangs: an old figure is worse than an error."""
FIRST_SECONDS: Final = 3.0
"""Longest wait for a first line, where there is no other way to ask."""
_FIRST_WITH_ONE_SHOT: Final = (1, 41)


class StatsStreams:
    """At most `most` streams at a time, each opened by the first read of its container."""

    def __init__(
        self,
        clients: DockerClients,
        clock: Clock,
        *,
        most: int = MAX_STREAMS,
        idle_seconds: float = IDLE_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        self._clients, self._clock = clients, clock
        self._most = most
        self._idle_seconds, self._stale_seconds = idle_seconds, stale_seconds
        self._first_seconds = first_seconds
        self._streams: dict[str, _Stream] = {}
        self._ending: list[_Stream] = []
        """Let go, but their threads are still at it."""
        self._shoots: bool | None = None
        """Whether the engine knows single shots; None: not asked yet."""
        self._closed = False

    async def read(self, container_id: str) -> Usage | None:
        """None for a container that does not run, and where the engine cannot be asked.

        Raises EngineUnavailable, EngineFailure.
        """
        stream = self._fresh(container_id)
        if stream is not None and stream.has_spoken:
            return self._heard(stream)
        if await self._knows_shots():
            return await self._shot(container_id)
        return await self._first_words(container_id)

    async def aclose(self) -> None:
        """End every stream, and open none from now on."""
        self._closed = True
        streams = [*self._streams.values(), *self._ending]
        self._streams.clear()
        self._ending.clear()
        for stream in streams:
            stream.stop()
        for stream in streams:
            await stream.aclose()

    # -------------------------------------------------------------------------------------------

    def _fresh(self, container_id: str) -> "_Stream | None":
        """The container's stream; one that ended or hangs is let go, and its failure told once.

        Only what the engine said wrongly is a failure here. What became of an engine or container
        that went away the next question tells, and it may be back.
        """
        stream = self._streams.get(container_id)
        if stream is None:
            return None
        if not stream.ended and stream.silent_seconds() <= self._stale_seconds:
            return stream
        self._let_go(stream)
        if isinstance(stream.error, EngineFailure):
            raise stream.error
        return None

    def _let_go(self, stream: "_Stream") -> None:
        if self._streams.get(stream.container_id) is stream:
            del self._streams[stream.container_id]
        stream.stop()
        self._ending.append(stream)

    def _heard(self, stream: "_Stream") -> Usage | None:
        try:
            return stream.usage()
        except ValueError as error:
            self._let_go(stream)
            raise _unreadable(self._clients, stream.container_id, error) from error

    async def _knows_shots(self) -> bool:
        if self._shoots is None:
            version: str = await self._clients.run(lambda api: api.api_version)
            self._shoots = tuple(int(part) for part in version.split(".")) >= _FIRST_WITH_ONE_SHOT
        return self._shoots

    async def _shot(self, container_id: str) -> Usage | None:
        """A single shot; a container that runs has its stream from now on, which begins with it."""

        def call(api: Any) -> object:
            return api.stats(container_id, stream=False, one_shot=True)

        try:
            usage = decode_usage(await self._clients.run(call))
        except ContainerNotFound:
            return None
        except ValueError as error:
            raise _unreadable(self._clients, container_id, error) from error
        if usage is not None:
            self._open(container_id, usage)
        return usage

    async def _first_words(self, container_id: str) -> Usage | None:
        stream = self._open(container_id)
        if stream is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._first_seconds):
                await stream.first.wait()
        if stream.has_spoken:
            return self._heard(stream)
        if stream.error is not None and not isinstance(stream.error, ContainerNotFound):
            raise stream.error
        if stream.ended:
            return None
        raise EngineUnavailable(
            f"The Docker engine at {self._clients.address} told nothing of container"
            f" {container_id[:12]} in {self._first_seconds:g} s: is it overloaded, or stuck?"
        )

    def _open(self, container_id: str, usage: Usage | None = None) -> "_Stream | None":
        """The container's stream, a new one if need be; None where there is no room for it."""
        self._ending = [stream for stream in self._ending if not stream.ended]
        for ended in [each for each, stream in self._streams.items() if stream.ended]:
            del self._streams[ended]
        if container_id not in self._streams:
            if self._closed or len(self._streams) + len(self._ending) >= self._most:
                return None
            self._streams[container_id] = _Stream(
                self._clients,
                self._clock,
                container_id,
                usage=usage,
                idle_seconds=self._idle_seconds,
                silence_seconds=self._stale_seconds,
            )
        return self._streams[container_id]


class _Stream:
    """The newest line that the engine told of one container, and the thread that reads it.

    It ends by itself when nobody has read it for long, or the engine has said nothing for long.
    """

    def __init__(
        self,
        clients: DockerClients,
        clock: Clock,
        container_id: str,
        *,
        usage: Usage | None,
        idle_seconds: float,
        silence_seconds: float,
    ) -> None:
        self.container_id = container_id
        self.first = asyncio.Event()
        """Set by the first line or the end."""
        self._clients, self._clock = clients, clock
        self._begins_with = usage
        self._idle_seconds = idle_seconds
        self._line = b""
        self._told_at = self._read_at = clock.monotonic()  # the loop's own stands still in a thread
        self._loop = asyncio.get_running_loop()
        path = f"/containers/{quote(container_id, safe='')}/stats"
        self._carrier = Carrier(
            clients,
            ask_for(path, {"stream": 1}),
            self._lines,
            self._take,
            ended=self.first.set,
            silence_seconds=silence_seconds,
        )

    @property
    def ended(self) -> bool:
        return self._carrier.ended

    @property
    def error(self) -> Exception | None:
        return self._carrier.error

    @property
    def has_spoken(self) -> bool:
        return bool(self._line) or self._begins_with is not None

    def usage(self) -> Usage | None:
        """By the newest line. Raises ValueError."""
        self._read_at = self._clock.monotonic()
        return decode_line(self._line) if self._line else self._begins_with

    def silent_seconds(self) -> float:
        return self._clock.monotonic() - self._told_at

    def stop(self) -> None:
        self._carrier.stop()

    async def aclose(self) -> None:
        await self._carrier.aclose()

    def _lines(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from whole_lines(chunks)
        except ValueError as error:
            raise _unreadable(self._clients, self.container_id, error) from error

    def _take(self, line: bytes) -> None:
        """In the thread."""
        now = self._clock.monotonic()
        if now - self._read_at > self._idle_seconds:
            raise Stopped
        is_first = not self._line
        self._line, self._told_at = line, now
        if is_first:
            self._loop.call_soon_threadsafe(self.first.set)


def _unreadable(clients: DockerClients, container_id: str, error: ValueError) -> EngineFailure:
    return EngineFailure(
        f"The Docker engine at {clients.address} told what container {container_id[:12]} uses in"
        f" a way that nobody can read: {error}"
    )
