"""MemoryEngine: containers on paper, for tests, dry runs and benchmarks without Docker.

It passes the same contract suite as Docker. What a container *does* is played by the test:
`on_start` lets an in-process plugin dial in, `die`, `oom` and `log` do what programs do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.clock import Clock, SystemClock
from orchestrator.engine.base import (
    ContainerNameTaken,
    ContainerNotFound,
    EngineEvent,
    EngineEventKind,
    EngineInfo,
    EngineUnavailable,
    LogLine,
    carries,
)
from orchestrator.engine.memory_journal import Journal
from orchestrator.engine.memory_stores import Failures, MemoryImages
from orchestrator.model.container import Adjustable, ContainerPhase, ContainerSpec, ContainerState

OnStart = Callable[[ContainerSpec, ContainerState], None]

MAX_LINE_BYTES = 16_384
_SIGTERM, _SIGKILL = 15, 9
_SIGKILLED = 137
_ALIVE = {ContainerPhase.RUNNING, ContainerPhase.PAUSED}


@dataclass(slots=True, kw_only=True)
class _Container:
    spec: ContainerSpec
    state: ContainerState
    lines: Journal[LogLine] = field(default_factory=Journal)
    ignores_sigterm: bool = False


class MemoryEngine:
    """Engine and Probe. Without `images` every image exists."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        images: MemoryImages | None = None,
        on_start: OnStart | None = None,
    ) -> None:
        self.on_start = on_start
        """Called when a container starts; may raise StartRefused, or call `die` at once."""
        self.failures = Failures()
        self.calls: list[tuple[str, str]] = []
        """(verb, container name) of every call that changed something, in order."""
        self._clock = clock or SystemClock()
        self._images = images
        self._containers: dict[str, _Container] = {}
        self._events: Journal[EngineEvent] = Journal()
        self._available = True
        self._deaf = False
        self._made = 0

    # The verbs.

    async def create(self, spec: ContainerSpec, *, name: str, labels: Mapping[str, str]) -> str:
        await self._enter("create", name)
        if self._images is not None:
            await self._images.labels(spec.image)
        for other in self._containers.values():
            if other.state.name == name:
                raise ContainerNameTaken(
                    f"The container's name {name} is taken by {other.state.container_id[:12]}"
                )
        self._made += 1
        container_id = f"{self._made:064x}"
        state = ContainerState(
            container_id=container_id,
            name=name,
            labels=tuple(sorted(labels.items())),
            phase=ContainerPhase.CREATED,
            cpu_percent=spec.cpu_percent,
            adjustable=_adjustable(spec),
        )
        self._containers[container_id] = _Container(spec=spec, state=state)
        self._tell(EngineEventKind.CREATED, state)
        return container_id

    async def start(self, container_id: str) -> None:
        await self._enter("start", self._name(container_id))
        container = self._get(container_id)
        if container.state.phase in _ALIVE:
            return
        before, mark = container.state, len(self._events.items)
        container.state = replace(
            before,
            phase=ContainerPhase.RUNNING,
            exit_code=None,
            oom_killed=False,
            started_at=self._clock.now(),
        )
        self._tell(EngineEventKind.STARTED, container.state)
        if self.on_start is not None:
            try:
                self.on_start(container.spec, container.state)
            except BaseException:
                container.state = before
                del self._events.items[mark:]
                raise

    async def stop(self, container_id: str, *, grace_seconds: float) -> None:
        await self._enter("stop", self._name(container_id))
        container = self._containers.get(container_id)
        if container is None or container.state.phase not in _ALIVE:
            return
        if grace_seconds > 0:
            self._tell(EngineEventKind.SIGNALLED, container.state, signal=_SIGTERM)
        killed = grace_seconds <= 0 or container.ignores_sigterm
        if killed:
            self._tell(EngineEventKind.SIGNALLED, container.state, signal=_SIGKILL)
        self.die(container_id, exit_code=_SIGKILLED if killed else 0)

    async def remove(self, container_id: str) -> None:
        await self._enter("remove", self._name(container_id))
        container = self._containers.get(container_id)
        if container is None:
            return
        if container.state.phase in _ALIVE:
            self._tell(EngineEventKind.SIGNALLED, container.state, signal=_SIGKILL)
            self.die(container_id, exit_code=_SIGKILLED)
        del self._containers[container_id]
        container.lines.end()
        self._tell(EngineEventKind.REMOVED, container.state)

    async def set_cpu(self, container_id: str, *, cpu_percent: int) -> None:
        await self._enter("set_cpu", self._name(container_id))
        container = self._get(container_id)
        container.state = replace(container.state, cpu_percent=cpu_percent)
        self._tell(EngineEventKind.CHANGED, container.state)

    async def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        await self._enter("list")
        states = (container.state for container in self._containers.values())
        found = (state for state in states if carries(state.labels, labels))
        return sorted(found, key=lambda state: state.name)

    async def inspect(self, container_id: str) -> ContainerState | None:
        await self._enter("inspect")
        container = self._containers.get(container_id)
        return container.state if container else None

    async def events(
        self,
        labels: Mapping[str, str],
        *,
        since: float,
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[EngineEvent]:
        await self._enter("events")
        if opened is not None:
            opened()
        there, number = len(self._events.items), -1
        async for event in self._events.follow():
            number += 1  # as Docker: `since` is asked of what happened before, not of what is new
            if (number >= there or event.at >= since) and labels.items() <= set(event.labels):
                yield event
        raise EngineUnavailable("The in-memory engine was made unavailable")

    async def logs(
        self, container_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncIterator[LogLine]:
        await self._enter("logs")
        journal = self._get(container_id).lines
        there = len(journal.items)
        # As Docker: `since` first, and of what is left the last `tail`.
        recent = [number for number in range(there) if journal.items[number].at >= since]
        shown = set(recent if tail is None else recent[len(recent) - min(tail, len(recent)) :])
        if not follow:
            journal = journal.ended_copy()
        number = -1
        async for line in journal.follow():
            number += 1
            if number in shown or (number >= there and line.at >= since):
                yield line

    async def info(self) -> EngineInfo:
        await self._enter("info")
        return EngineInfo(
            name="memory",
            version="0",
            api_version="0",
            cgroup_version=2,
            cgroup_driver="none",
            storage_driver="memory",
            security_options=(),
            runtimes=("memory",),
            has_init=True,
            rootless=False,
            cores=2,
            memory_bytes=8 << 30,
            root_dir="/nonexistent",
        )

    # What programs, users and accidents do.

    def die(self, container_id: str, *, exit_code: int = 1) -> None:
        """The program ends by itself."""
        container = self._get(container_id)
        container.state = replace(
            container.state,
            phase=ContainerPhase.EXITED,
            exit_code=exit_code,
            finished_at=self._clock.now(),
        )
        self._tell(EngineEventKind.DIED, container.state)

    def oom(self, container_id: str, *, fatal: bool = True) -> None:
        """The kernel kills a process for its memory: the main one, or (not fatal) a child."""
        container = self._get(container_id)
        self._tell(EngineEventKind.OOM, container.state)
        if fatal:
            container.state = replace(container.state, oom_killed=True)
            self.die(container_id, exit_code=_SIGKILLED)

    def log(self, container_id: str, text: str, *, stream: str = "stdout") -> None:
        """The program prints a line."""
        line = LogLine(stream=stream, at=self._clock.now(), text=text[:MAX_LINE_BYTES])
        self._get(container_id).lines.append(line)

    def ignore_sigterm(self, container_id: str) -> None:
        """Only SIGKILL ends it from now on; a grace period passes in no time."""
        self._get(container_id).ignores_sigterm = True

    def pause(self, container_id: str) -> None:
        """Somebody pauses it by hand."""
        container = self._get(container_id)
        container.state = replace(container.state, phase=ContainerPhase.PAUSED)
        self._tell(EngineEventKind.CHANGED, container.state)

    def unpause(self, container_id: str) -> None:
        """It goes on; quiet if it does not stand still. Raises ContainerNotFound."""
        container = self._get(container_id)
        if container.state.phase is ContainerPhase.PAUSED:
            container.state = replace(container.state, phase=ContainerPhase.RUNNING)

    def adjust(self, container_id: str, *, name: str = "", **changes: Any) -> None:
        """Somebody changes its name, or fields of `Adjustable`, by hand."""
        container = self._get(container_id)
        before = container.state.adjustable or _adjustable(container.spec)
        container.state = replace(
            container.state,
            name=name or container.state.name,
            adjustable=replace(before, **changes),
        )
        self._tell(EngineEventKind.CHANGED, container.state)

    def spec(self, container_id: str) -> ContainerSpec:
        """What it was created from. Raises ContainerNotFound."""
        return self._get(container_id).spec

    def set_available(self, available: bool) -> None:  # noqa: FBT001 — it is the whole call
        """Whether the engine answers; containers live on, as Docker's can."""
        self._available = available
        if not available:
            self._events.end()
            ended, self._events = self._events, Journal()
            self._events.items = ended.items

    def drop_events(self, dropped: bool) -> None:  # noqa: FBT001 — it is the whole call
        """Whether what happens is told to nobody, as by an engine that lost its stream."""
        self._deaf = dropped

    def fail_next(self, verb: str, error: Exception, *, nth: int = 1) -> None:
        """The n-th call of the verb from now on raises `error` and changes nothing."""
        self.failures.add(verb, error, nth=nth)

    async def _enter(self, verb: str, name: str | None = None) -> None:
        await asyncio.sleep(0)  # a real engine lets others run, too
        if name is not None:
            self.calls.append((verb, name))
        if not self._available:
            raise EngineUnavailable("The in-memory engine was made unavailable")
        self.failures.check(verb)

    def _name(self, container_id: str) -> str:
        container = self._containers.get(container_id)
        return container.state.name if container else container_id

    def _get(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise ContainerNotFound(f"The in-memory engine has no such container: {container_id}")
        return container

    def _tell(self, kind: EngineEventKind, state: ContainerState, *, signal: int = 0) -> None:
        if self._deaf:
            return
        self._events.append(
            EngineEvent(
                kind=kind,
                container_id=state.container_id,
                at=self._clock.now(),
                labels=state.labels,
                signal=signal,
            )
        )


def _adjustable(spec: ContainerSpec) -> Adjustable:
    joins = spec.network_mode == "none" or spec.network_mode.startswith("container:")
    return Adjustable(
        memory_bytes=spec.memory_bytes,
        memory_swap_bytes=spec.memory_bytes,
        pids_limit=spec.pids_limit,
        networks=() if joins else (spec.network_mode,),
    )
