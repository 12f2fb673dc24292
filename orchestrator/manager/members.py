"""The steps for the containers of one wanted plugin: its replicas, and the revision before. Pure.

A changed plugin is started beside the one that runs, one container at a time. When it has been
well for long enough it takes the calls, and only then one of the old ones goes. A plugin that can
run beside no other (`alone`) is stopped first.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.manager.actions import (
    IMAGE,
    Action,
    Adopt,
    Health,
    Kill,
    Launch,
    Mend,
    Pause,
    Prepare,
    Remove,
    Resume,
    SetCpu,
    Sighting,
    Sleep,
    Start,
    Want,
)
from orchestrator.manager.drift import Cure
from orchestrator.model.container import ContainerPhase

GAVE_UP: Final = "gave up: too many failures; mend it and run `orchestrator up` again"
_ENDED: Final = {ContainerPhase.CREATED, ContainerPhase.EXITED}


def is_ready(sighting: Sighting) -> bool:
    """Whether a call to it would be answered."""
    return sighting.health is Health.READY and sighting.container.phase is ContainerPhase.RUNNING


def _is_alive(sighting: Sighting) -> bool:
    """Whether it runs and this daemon reaches it, whatever revision it is of."""
    runs = sighting.container.phase in {ContainerPhase.RUNNING, ContainerPhase.PAUSED}
    return runs and sighting.health is not Health.UNKNOWN


def is_proven(want: Want, sighting: Sighting) -> bool:
    """Whether it was well for long enough to take over from another revision."""
    if sighting.digest != want.digest or not is_ready(sighting):
        return False
    well = sighting.well_seconds
    least = want.min_healthy_seconds
    return least <= 0 or (well is not None and well >= least)


def in_service(want: Want, sightings: Sequence[Sighting]) -> list[Sighting]:
    """The containers that calls go to."""
    ready = [s for s in sightings if is_ready(s)]
    mine = [s for s in ready if s.digest == want.digest]
    others = [s for s in ready if s.digest != want.digest]
    if not others:
        return mine
    proven = [s for s in mine if is_proven(want, s)]
    return proven if len(proven) >= want.replicas else [*proven, *others]


def is_settled(want: Want, sightings: Sequence[Sighting]) -> bool:
    """Whether all of its replicas are ready, and nothing else of it is there."""
    ready = {s.sandbox_id for s in sightings if s.digest == want.digest and is_ready(s)}
    return ready >= {*want.sandbox_ids} and len(sightings) == want.replicas


@dataclass(slots=True, kw_only=True)
class Turn:
    """One plugin's part of a plan, as it is found."""

    want: Want
    sightings: Sequence[Sighting]
    absent: Sequence[str]
    """Dependencies that would not answer."""
    behind: Sequence[str]
    """Dependencies that would not, or not in their wanted revision."""
    busy: Collection[str]
    """Keys of the steps under way."""
    due: Callable[[str], float | None]
    """When a sandbox may start; None when it was given up."""
    now: float
    actions: list[Action] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)

    def take(self) -> None:
        """Find the steps."""
        gone = [s for s in self.sightings if s.container.phase is ContainerPhase.GONE]
        for sighting in gone:
            self._remove(sighting, "found gone")
        rest = [s for s in self.sightings if s not in gone]
        mine = {s.sandbox_id: s for s in rest if s.digest == self.want.digest}
        names_taken = {s.sandbox_id for s in gone}
        if gone and self.want.alone:
            names_taken.update(self.want.sandbox_ids)  # its volume may not be free yet
        others = [s for s in rest if s.digest != self.want.digest]
        if self.want.sleep is not Sleep.AWAKE and not others:
            for sighting in mine.values():
                self._put_to_sleep(sighting)
            return
        kept = self._kept(mine.values(), others)
        self._tend_others(others, kept)
        self._tend_mine(mine, others, kept, names_taken)
        self._look_again(mine.values(), kept)

    def _tend_others(self, others: list[Sighting], kept: list[Sighting]) -> None:
        for sighting in others:
            if sighting in kept:
                self._tend(sighting)
            else:
                self._remove(sighting, "changed")
        if others and not self.want.image_ready:
            self._prepare()

    def _tend_mine(
        self,
        mine: dict[str, Sighting],
        others: list[Sighting],
        kept: list[Sighting],
        names_taken: set[str],
    ) -> None:
        for sandbox_id in sorted(mine.keys() - {*self.want.sandbox_ids}):
            self._remove(mine[sandbox_id], "fewer replicas are wanted")
        for sandbox_id in self.want.sandbox_ids:
            if sandbox_id in mine:
                self._tend(mine[sandbox_id])
            elif sandbox_id not in names_taken and self._may_start(mine, others, kept):
                self._bring_up(Start(plugin_id=self.want.plugin_id, sandbox_id=sandbox_id))

    # -- which revisions ------------------------------------------------------------------------

    def _kept(self, mine: Collection[Sighting], others: list[Sighting]) -> list[Sighting]:
        """Those of another revision that are still needed."""
        want = self.want
        able = [s for s in others if s.digest in want.known or _is_alive(s)]
        if want.paused or not want.image_ready:
            return able
        if want.alone:
            return []
        proven = sum(is_proven(want, s) for s in mine)
        able.sort(key=lambda s: (not is_ready(s), s.container.name))
        return able[: max(0, want.replicas - proven)]

    def _may_start(
        self, mine: dict[str, Sighting], others: list[Sighting], kept: list[Sighting]
    ) -> bool:
        """Whether another container of the wanted revision may be made now."""
        if others and self.want.paused:
            self.waiting.append("its rollout is paused")
            return False
        if others and (self.want.alone or not self.want.image_ready):
            return False
        if not kept:
            return True
        trying = [key for key, s in mine.items() if not is_proven(self.want, s)]
        starting = [key for key in self.want.sandbox_ids if key in self.busy and key not in mine]
        planned = any(isinstance(action, Start) for action in self.actions)
        return not (trying or starting or planned)

    def _look_again(self, mine: Collection[Sighting], kept: list[Sighting]) -> None:
        """In time for a container that is about to take over."""
        for sighting in mine if kept else ():
            well = sighting.well_seconds
            if is_ready(sighting) and well is not None and not is_proven(self.want, sighting):
                self.wakes.append(self.now + self.want.min_healthy_seconds - well)

    # -- one container --------------------------------------------------------------------------

    def _tend(self, sighting: Sighting) -> None:
        plugin_id, container_id = self.want.plugin_id, sighting.container_id
        if self._is_busy(sighting):
            return
        phase = sighting.container.phase
        if phase in _ENDED:
            self._bring_up(Launch(plugin_id=plugin_id, container_id=container_id), sighting)
        elif phase is ContainerPhase.PAUSED:
            self.actions.append(Resume(plugin_id=plugin_id, container_id=container_id))
        elif sighting.health is Health.UNKNOWN:
            self.actions.append(Adopt(plugin_id=plugin_id, container_id=container_id))
        elif sighting.health is Health.STUCK:
            self.actions.append(
                Kill(plugin_id=plugin_id, container_id=container_id, why=sighting.trouble)
            )
        elif sighting.health is Health.READY and sighting.digest == self.want.digest:
            self._repair(sighting)

    def _repair(self, sighting: Sighting) -> None:
        plugin_id, container_id = self.want.plugin_id, sighting.container_id
        if any(it.cure is Cure.REPLACE for it in sighting.drift):
            self._remove(sighting, f"drifted: {'; '.join(map(str, sighting.drift))}")
        elif any(it.field != "cpu_percent" for it in sighting.drift):
            self.actions.append(Mend(plugin_id=plugin_id, container_id=container_id))
        elif sighting.container.cpu_percent != self.want.cpu_percent:
            self.actions.append(
                SetCpu(
                    plugin_id=plugin_id,
                    container_id=container_id,
                    cpu_percent=self.want.cpu_percent,
                )
            )

    def _bring_up(self, step: Start | Launch, sighting: Sighting | None = None) -> None:
        """If image, dependencies and back-off let it."""
        key = sighting.sandbox_id if sighting is not None else step.key
        needs = self.absent if sighting is not None else self.behind
        mine = sighting is None or sighting.digest == self.want.digest
        if key in self.busy or not self._is_due(key):
            return
        if mine and not self.want.image_ready:
            self._prepare()
        elif needs:
            self.waiting.append(f"waiting for {', '.join(needs)}")
        else:
            self.actions.append(step)

    def _prepare(self) -> None:
        step = Prepare(plugin_id=self.want.plugin_id)
        if IMAGE in self.busy or step in self.actions:
            return
        if self._is_due(self.want.sandbox_id):
            self.actions.append(step)

    def _is_due(self, sandbox_id: str) -> bool:
        """Whether back-off lets it start; said, if not."""
        due = self.due(sandbox_id)
        if due is None:
            self.waiting.append(GAVE_UP)
        elif due > self.now:
            self.waiting.append(f"restarting in {due - self.now:.1f} s")
            self.wakes.append(due)
        return due is not None and due <= self.now

    def _put_to_sleep(self, sighting: Sighting) -> None:
        """Nobody calls it: what is ready stands still; after that, it goes."""
        if self.want.sleep is Sleep.STOPPED:
            self._remove(sighting, "idle")
        elif is_ready(sighting) and not self._is_busy(sighting):
            self.actions.append(
                Pause(plugin_id=self.want.plugin_id, container_id=sighting.container_id)
            )
        elif sighting.container.phase is ContainerPhase.RUNNING:
            self._tend(sighting)

    def _remove(self, sighting: Sighting, why: str) -> None:
        if not self._is_busy(sighting):
            self.actions.append(
                Remove(plugin_id=self.want.plugin_id, container_id=sighting.container_id, why=why)
            )

    def _is_busy(self, sighting: Sighting) -> bool:
        return sighting.container_id in self.busy or sighting.sandbox_id in self.busy
