"""Orphans: what an instance left that no longer exists. Found on the engine, removed after a grace.

Found by labels, so nothing without them is ever touched; removed only while its maker is seen to
be gone, for the whole grace, by a daemon that runs.
"""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.engine.base import ANY, LABEL_OWNER, DiskWay, Engine, EngineFailure, VolumeStore
from orchestrator.engine.loop_disks import detach_below
from orchestrator.engine.networks import NetworkStore
from orchestrator.errors import OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.manager.liveness import Life, Maker, announced, life_of
from orchestrator.model.events import EventName
from orchestrator.model.policy import ReconcilePolicy
from orchestrator.store.base import RecordStore, StoreUnavailable

LOOK_SECONDS: Final = 300.0
"""Between two looks for orphans; sooner where the grace is short."""
TICK_SECONDS: Final = 2.0
"""So soon a policy that changed is heeded."""
_LOOKS_IN_GRACE: Final = 4
_ORPHAN: Final = "orphan"


@dataclass(slots=True)
class Estate:
    """What an instance has on the engine."""

    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Volumes whose data lies with the engine, and so outlived the folder: nobody's to remove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What orphans are looked for on."""

    engine: Engine
    volumes: VolumeStore
    networks: NetworkStore
    own: str
    """The owner that looks: what is its own is no orphan."""
    local: bool
    """Whether the engine is on this machine: of another's instances nothing can be told."""


async def estates(ground: Ground) -> dict[Maker, Estate]:
    """What other instances have on the engine, as far as labels say whose it is."""
    found: defaultdict[Maker, Estate] = defaultdict(Estate)
    for container in await ground.engine.list({LABEL_OWNER: ANY}):
        if maker := _other(ground, container.labels):
            found[maker].containers.append(container.container_id)
    for network in await ground.networks.list({}):
        if maker := _other(ground, network.labels):
            found[maker].networks.append(network.name)
    for volume in await ground.volumes.list({}):
        if maker := _other(ground, volume.labels):
            lost = volume.enforced_by in {DiskWay.LOOP, DiskWay.TMPFS}
            (found[maker].volumes if lost else found[maker].kept).append(volume.name)
    return dict(found)


def _other(ground: Ground, labels: Iterable[tuple[str, str]]) -> Maker | None:
    maker = Maker.of(dict(labels))
    return maker if maker is not None and maker.owner != ground.own else None


class Orphans:
    """`run` is a task of the daemon's."""

    def __init__(
        self,
        *,
        ground: Ground,
        leavings: Callable[[Maker], tuple[Path, ...]],
        store: RecordStore,
        bus: PluginEventBus,
        clock: Clock,
        life: Callable[[Maker], Life] = life_of,
    ) -> None:
        """`leavings` names the folders that an instance has outside of its state folder."""
        self._ground = ground
        self._leavings = leavings
        self._store = store
        self._bus = bus
        self._clock = clock
        self._life = life
        self._looked_at: float | None = None

    async def run(self, policy: Callable[[], ReconcilePolicy]) -> None:
        """For ever, until cancelled; `policy` is asked anew each time."""
        with announced(self._ground.own):  # others look, too
            while True:
                grace = policy().orphan_grace_minutes * 60.0
                if self._ground.local and self._is_due(grace):
                    with suppress(OrchestratorError):  # the engine is away: the next look comes
                        await self.look(grace)
                await asyncio.sleep(TICK_SECONDS)

    def _is_due(self, grace_seconds: float) -> bool:
        pause = min(LOOK_SECONDS, grace_seconds / _LOOKS_IN_GRACE)
        before = self._looked_at
        return before is None or self._clock.monotonic() - before >= pause

    async def look(self, grace_seconds: float) -> None:
        """Count how long each maker has been gone; take away what was left for the grace.

        Counted is the time in which this daemon ran and saw it gone: no clock that jumps and no
        machine that slept makes it longer.
        """
        since = self._since_last_look()
        found = await estates(self._ground)
        gone = {maker: it for maker, it in found.items() if self._life(maker) is Life.GONE}
        seconds = self._count(gone, since)
        for maker, estate in gone.items():
            # Once more: meanwhile somebody may have put the folder back.
            if seconds[maker] >= grace_seconds and self._life(maker) is Life.GONE:
                with suppress(EngineFailure):  # still in use, say; the others do not wait for it
                    await self._take_away(maker, estate)

    def _since_last_look(self) -> float:
        now = self._clock.monotonic()
        before, self._looked_at = self._looked_at, now
        return 0.0 if before is None else min(max(0.0, now - before), 2 * LOOK_SECONDS)

    def _count(self, gone: Mapping[Maker, Estate], since: float) -> dict[Maker, float]:
        """How long each has been gone, remembered over the daemon's end."""
        known = self._store.load(_ORPHAN)
        records: dict[str, Mapping[str, JsonValue] | None] = dict.fromkeys(known)
        seconds: dict[Maker, float] = {}
        for maker in gone:
            key = f"{maker.owner}-{maker.host}"
            before = known.get(key, {}).get("gone_seconds")
            seconds[maker] = before + since if isinstance(before, int | float) else 0.0
            records[key] = {"gone_seconds": seconds[maker]}
        if records:
            with suppress(StoreUnavailable):  # then it begins anew with the next daemon
                self._store.put_all(_ORPHAN, records)
        return seconds

    async def _take_away(self, maker: Maker, estate: Estate) -> None:
        ground = self._ground
        for container_id in estate.containers:
            await ground.engine.remove(container_id)
        for network in estate.networks:
            await ground.networks.remove(network)
        for volume in estate.volumes:
            await ground.volumes.remove(volume)
        devices = await detach_below(Path(maker.folder))
        for folder in self._leavings(maker):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if not (estate.containers or estate.networks or estate.volumes or devices):
            return  # only what is kept is left of it: that was told
        self._bus.publish(
            EventName.ORPHANS_REMOVED,
            data={
                "instance": maker.instance,
                "state_folder": maker.folder,
                "containers": len(estate.containers),
                "networks": [*estate.networks],
                "volumes": [*estate.volumes],
                "volumes_kept": [*estate.kept],
                "loop_devices": devices,
            },
        )


def orphan_finding(found: Mapping[Maker, Life], estates: Mapping[Maker, Estate]) -> Finding:
    """What `doctor` says of it."""
    gone = [maker for maker in sorted(found) if found[maker] is Life.GONE]
    others = len(found) - len(gone)
    beside = f"; other instances that exist: {others}" if others else ""
    return Finding(
        check="orphans",
        verdict=Verdict.WARNING if gone else Verdict.OK,
        found=("; ".join(_words(maker, estates[maker]) for maker in gone) or "none") + beside,
        advice="a running daemon removes them after policy.reconcile.orphan_grace_minutes, "
        "but for volumes whose data the engine holds"
        if gone
        else "",
    )


def _words(maker: Maker, estate: Estate) -> str:
    counts = f"{len(estate.containers)} containers, {len(estate.networks)} networks"
    volumes = f"{len(estate.volumes) + len(estate.kept)} volumes"
    kept = f" (data of {', '.join(estate.kept)} is with the engine)" if estate.kept else ""
    return (
        f"{counts}, {volumes}{kept} of instance {maker.instance}, "
        f"whose state folder {maker.folder} is gone"
    )
