"""Paper: plugins without containers, which dial in for the containers of the in-memory engine.

Each run of a container gets a player of its own: it dials the socket in the folder that the
container would mount, serves what it is asked, and dials again when its connection ends. It ends
with the container's run. So the orchestrator over the in-memory engine does all that it does over
Docker, and hundreds of plugins cost a few milliseconds each.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.engine.base import EngineEventKind, EngineUnavailable
from orchestrator.engine.memory import MemoryEngine
from orchestrator.model.container import ContainerSpec, ContainerState
from orchestrator.sandbox.listener import PLUGIN_SOCKET
from tests.support.nft import play_helper

SOCKETS: Final = "/run/orchestrator"
REDIAL_SECONDS: Final = 0.01
HANG: Final = b'{"hang": true}'
"""A call that is never answered."""
_UPGRADE: Final = (
    b"GET /v1/serve HTTP/1.1\r\nHost: orchestrator\r\nConnection: Upgrade\r\n"
    b"Upgrade: PTTH/1.0\r\nX-Lane: %b\r\n\r\n"
)


class Players:
    """Follows an engine and plays every container that runs."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.mute: set[str] = set()
        """Plugins that never dial in from their next start on."""
        self.heard: list[tuple[str, str, str]] = []
        """(plugin, container, path) of each request, in order."""
        self.runs: dict[str, asyncio.Task[None]] = {}
        """By container: the run that lasts."""
        self._engine = engine
        self._group: asyncio.TaskGroup

    @asynccontextmanager
    async def playing(self) -> AsyncIterator["Players"]:
        """While it lasts, what starts is played."""
        self._engine.on_start = self._start
        async with asyncio.TaskGroup() as self._group:
            follower = self._group.create_task(self._follow())
            try:
                yield self
            finally:
                self._engine.on_start = None
                follower.cancel()
                for run in self.runs.values():
                    run.cancel()

    def _start(self, spec: ContainerSpec, state: ContainerState) -> None:
        if not any(mount.target == SOCKETS for mount in spec.bind_mounts):
            play_helper(self._engine, spec, state)  # of the network guard's
        elif spec.plugin_id not in self.mute:
            run = self._group.create_task(play(part_of(spec, state.container_id), self.heard))
            self._end(state.container_id)
            self.runs[state.container_id] = run

    async def _follow(self) -> None:
        """A run ends with its container."""
        while True:
            with contextlib.suppress(EngineUnavailable):
                async for event in self._engine.events({}, since=float("-inf")):
                    if event.kind in {EngineEventKind.DIED, EngineEventKind.REMOVED}:
                        container = await self._engine.inspect(event.container_id)
                        if container is None or container.exit_code is not None:
                            self._end(event.container_id)
            await asyncio.sleep(REDIAL_SECONDS)

    def _end(self, container_id: str) -> None:
        run = self.runs.pop(container_id, None)
        if run is not None:
            run.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a player must know of its container."""

    plugin_id: str
    container_id: str
    socket: Path
    lanes: tuple[str, ...]


def part_of(spec: ContainerSpec, container_id: str) -> Part:
    """As the container would find it in its mounts and environment."""
    [folder] = [Path(m.source) for m in spec.bind_mounts if m.target == SOCKETS]
    environment = dict(spec.environment)
    calls = int(environment["ORCHESTRATOR_CONNECTIONS"])
    events = ["events"] if environment.get("ORCHESTRATOR_EVENTS") == "1" else []
    return Part(
        plugin_id=spec.plugin_id,
        container_id=container_id,
        socket=folder / PLUGIN_SOCKET,
        lanes=("control", *["calls"] * calls, *events),
    )


async def play(part: Part, heard: list[tuple[str, str, str]]) -> None:
    """One run of one container, until it is cancelled."""
    run = _Run(part, heard)
    async with asyncio.TaskGroup() as group:
        for lane in part.lanes:
            group.create_task(run.serve(lane))


class _Run:
    """What is known in one run; like a real plugin it works for nobody before `initialize`."""

    def __init__(self, part: Part, heard: list[tuple[str, str, str]]) -> None:
        self._part = part
        self._heard = heard
        self._initialized = False

    async def serve(self, lane: str) -> None:
        """One lane: dial, answer, and dial again when the host is gone."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                reader, writer = await _dial(self._part.socket)
                try:
                    writer.write(_UPGRADE % lane.encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                    while b" 101 " in head.split(b"\r\n")[0]:
                        await self._answer(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(REDIAL_SECONDS)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        path = head.split(" ")[1]
        length = head.partition("content-length: ")[2].split("\r\n")[0]
        body = await reader.readexactly(int(length or 0))
        self._heard.append((self._part.plugin_id, self._part.container_id, path))
        if body == HANG:
            await asyncio.Event().wait()
        status, content = self._content(path, body)
        answer = json.dumps(content).encode()
        writer.write(b"HTTP/1.1 %d .\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)))
        writer.write(answer)

    def _content(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/v1/initialize":
            again, self._initialized = self._initialized, True
            return (409 if again else 200), {}
        if path == "/v1/execute":
            return (200 if self._initialized else 503), {"echo": json.loads(body)}
        return 200, {"state": "ready"}


async def _dial(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Through the folder's descriptor: unix socket addresses end at 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
