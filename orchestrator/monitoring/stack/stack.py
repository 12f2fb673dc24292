"""MonitoringStack: keeps Prometheus and Grafana running beside the daemon, while that is wanted.

A small loop of its own: looks at what is there, plans, removes and makes. Its containers carry the
label `orchestrator.role`, which the reconcile loop passes over, so it is the one writer of these.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_DIGEST, LABEL_ROLE, Engine, VolumeStore
from orchestrator.errors import OrchestratorError
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.monitoring.stack import relay
from orchestrator.monitoring.stack.files import assets, put_files, read_files, tidy_files
from orchestrator.monitoring.stack.parts import (
    GRAFANA,
    INNER,
    PROMETHEUS,
    RELAYS,
    Part,
    Site,
    StackImages,
    parts,
)
from orchestrator.monitoring.stack.plan import LABEL_NETWORK, LABEL_PART, Plan, plan
from orchestrator.monitoring.stack.supply import StackSupply

ROLE: Final = "monitoring"
LOOK_SECONDS: Final = 0.2
"""So soon a change of what is wanted is heeded."""
TURN_SECONDS: Final = 5.0
SOON_SECONDS: Final = 1.0
"""After something was made: it may have ended at once."""
FIRST_PAUSE_SECONDS: Final = 2.0
MOST_PAUSE_SECONDS: Final = 60.0
WELL_SECONDS: Final = 60.0
"""Who ran for so long begins with the first pause again."""
_LOG_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 10.0


@dataclass(slots=True, kw_only=True)
class _Trouble:
    """Of one part: why it ended, and when it is tried again."""

    detail: str = ""
    pause: float = 0.0
    again_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    name: str
    running: bool
    address: str
    """Where a browser finds it; empty for what is behind the scenes."""
    detail: str = ""
    """Why it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """What `up` and `status` show."""

    wanted: bool = False
    settled: bool = True
    """Whether all runs that can; else something is under way."""
    trouble: str = ""
    parts: tuple[PartState, ...] = field(default=())


class MonitoringStack:
    """`run` is its life; `close` takes everything away and keeps it so."""

    def __init__(
        self,
        *,
        engine: Engine,
        volumes: VolumeStore,
        supply: StackSupply,
        site: Site,
        labels: Mapping[str, str],
        instance: str,
        folder: Path,
        wanted: Callable[[], MonitoringConfig],
        clock: Clock,
    ) -> None:
        """`folder` is the stack's own in the state folder."""
        self._engine = engine
        self._volumes = volumes
        self._supply = supply
        self._site = site
        self._labels = {**labels, LABEL_ROLE: ROLE}
        self._instance = instance
        self._folder = folder
        self._wanted = wanted
        self._clock = clock
        self._closed = False
        self._one = asyncio.Lock()
        self._troubles: dict[str, _Trouble] = {}
        self._running: dict[str, str] = {}
        """Part → container, of those that ran when they were last looked at."""
        self._trouble = ""
        self._turn_seconds = TURN_SECONDS
        self._heeded: MonitoringConfig | None = None
        """What was wanted at the last turn."""
        self._mounts: tuple[str, str] = ("", "")
        """The relay's source and the files' folder, once they are there."""
        self._runbooks = ""
        """Where the files' links to runbooks lead."""

    async def run(self) -> None:
        """For ever, until cancelled; the containers run on, and the next daemon finds them."""
        last: MonitoringConfig | None = None
        due = 0.0
        while True:
            config = self._wanted()
            if config != last:
                self._supply.forget()
                self._troubles.clear()
                last, due = config, 0.0
            if self._clock.monotonic() >= due:
                with contextlib.suppress(OrchestratorError, OSError):  # `state` tells of them
                    await self.tend()
                due = self._clock.monotonic() + self._turn_seconds
            await asyncio.sleep(LOOK_SECONDS)

    async def tend(self) -> None:
        """One turn. Raises the engine's errors."""
        async with self._one:
            config = self._wanted()
            try:
                await self._turn(config)
                self._trouble = ""
            except (OrchestratorError, OSError) as error:
                self._trouble = str(error)
                raise
            finally:
                self._heeded = config

    async def close(self) -> None:
        """Remove the containers and make none any more; the volumes stay. Raises the engine's."""
        self._closed = True
        with contextlib.suppress(TimeoutError):  # an image is being made: then nothing else is
            async with asyncio.timeout(CLOSE_SECONDS), self._one:
                pass
        for container in await self._engine.list(self._labels):
            await self._engine.remove(container.container_id)
        self._running = {}
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def state(self) -> StackState:
        config = self._wanted()
        if not config.stack:
            return StackState()
        addresses = {
            PROMETHEUS: f"http://127.0.0.1:{config.prometheus_port}",
            GRAFANA: f"http://127.0.0.1:{config.grafana_port}",
        }
        shown = tuple(
            PartState(
                name=name,
                running=self._serves(name),
                address=address,
                detail="" if self._serves(name) else self._why_not(name),
            )
            for name, address in addresses.items()
        )
        known = bool(self._trouble) or all(it.running or it.detail for it in shown)
        settled = known and self._heeded == config
        return StackState(wanted=True, settled=settled, trouble=self._trouble, parts=shown)

    def _serves(self, name: str) -> bool:
        return self._running.keys() >= {name, *RELAYS}

    def _why_not(self, name: str) -> str:
        """That there is no image of it, its own end, or that of a relay before it."""
        ends = [self._troubles[it].detail for it in (name, *RELAYS) if it in self._troubles]
        return next(filter(None, (self._supply.missing.get(name, ""), *ends)), "")

    # -- a turn ---------------------------------------------------------------------------------

    async def _turn(self, config: MonitoringConfig) -> None:
        wanted = await self._parts(config) if config.stack and not self._closed else ()
        if self._closed:  # perhaps while an image was made
            return
        there = await self._engine.list(self._labels)
        todo = plan(wanted, there)
        self._running = dict(todo.kept)
        self._calm(there)
        for container in todo.remove:
            await self._bury(container)
        made = await self._make(todo)
        self._turn_seconds = SOON_SECONDS if made else TURN_SECONDS
        if not wanted:
            self._mounts = ("", "")
            await asyncio.to_thread(tidy_files, self._folder / "files", keep=None)

    async def _parts(self, config: MonitoringConfig) -> tuple[Part, ...]:
        images: StackImages = await self._supply.images(config)
        source, files = self._mounts
        same = files and config.runbooks == self._runbooks
        if not same or not await asyncio.to_thread(Path(files).is_dir):
            self._runbooks = config.runbooks
            source, files = self._mounts = await asyncio.to_thread(self._place)
        return parts(config, images, self._site, relay=source, files=files)

    def _place(self) -> tuple[str, str]:
        """Put down what the containers mount: what is shipped does not change while we live."""
        root = self._folder / "files"
        files = read_files(assets(), instance=self._instance, runbooks=self._runbooks)
        placed = put_files(files, root)
        tidy_files(root, keep=placed)
        _meeting_place(Path(self._site.relay_folder))
        return Path(relay.__file__).read_text(), str(placed)

    async def _bury(self, container: ContainerState) -> None:
        """Take it away; why it ended is remembered, if it ended by itself."""
        if container.phase is ContainerPhase.EXITED:
            await self._learn(container)
        await self._engine.remove(container.container_id)

    async def _learn(self, container: ContainerState) -> None:
        trouble = self._troubles.setdefault(container.label(LABEL_PART), _Trouble())
        words = await self._last_words(container.container_id)
        trouble.detail = words or f"it ended with exit code {container.exit_code}"
        trouble.pause = min(max(FIRST_PAUSE_SECONDS, 2 * trouble.pause), MOST_PAUSE_SECONDS)
        trouble.again_at = self._clock.monotonic() + trouble.pause

    async def _last_words(self, container_id: str) -> str:
        last = ""
        with contextlib.suppress(OrchestratorError, TimeoutError):
            async with asyncio.timeout(_LOG_SECONDS):
                async for line in self._engine.logs(container_id, follow=False, since=0, tail=1):
                    last = line.text
        return last

    def _calm(self, there: list[ContainerState]) -> None:
        """What has run for long is in trouble no more."""
        for container in there:
            name = container.label(LABEL_PART)
            if name in self._running and self._clock.now() - container.started_at > WELL_SECONDS:
                self._troubles.pop(name, None)

    async def _make(self, todo: Plan) -> bool:
        """Whether anything was made; what waits for its pause or for the network is not."""
        stands = dict(todo.kept)
        for part in todo.make:
            trouble = self._troubles.get(part.name)
            waits = trouble is not None and trouble.again_at > self._clock.monotonic()
            if not waits and (not part.joins or INNER in stands):
                stands[part.name] = await self._start(part, network=stands.get(INNER, ""))
        return len(stands) > len(todo.kept)

    async def _start(self, part: Part, *, network: str) -> str:
        labels = {**self._labels, LABEL_PART: part.name, LABEL_DIGEST: part.digest}
        if part.joins:
            labels[LABEL_NETWORK] = network
        for mount in part.spec.volume_mounts:
            await self._volumes.ensure(mount, self._labels)
        container_id = await self._engine.create(part.spec, name=part.container_name, labels=labels)
        await self._engine.start(container_id)
        return container_id


def _meeting_place(folder: Path) -> None:
    """Where the relays' sockets lie; what leads there is closed to everybody but the engine."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
