"""A world for plan: containers that obey, die, vanish and are tampered with.

It knows nothing of plan's helpers; what should be is said here once more, in other words.
"""

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from orchestrator.manager.actions import (
    WHOLE,
    Action,
    Adopt,
    Health,
    Kill,
    Launch,
    Pause,
    Plan,
    Prepare,
    Remove,
    Resume,
    SetCpu,
    Start,
    Want,
)
from orchestrator.manager.plan import plan
from orchestrator.manager.restart import History
from orchestrator.model.container import ContainerPhase

NAMES = "abcde"
REVISIONS = ("new", "old", "older")
PASSES = 60
CREATED, RUNNING, EXITED = ContainerPhase.CREATED, ContainerPhase.RUNNING, ContainerPhase.EXITED


@dataclass
class Box:
    """A container of the world."""

    plugin: str
    revision: str
    requires: tuple[str, ...] = ()
    phase: ContainerPhase = RUNNING
    health: Health = Health.READY
    cpu: int = 10

    @property
    def answers(self) -> bool:
        return (self.revision, self.phase, self.health) == ("new", RUNNING, Health.READY)

    def suffer(self, what: str) -> None:
        match what:
            case "pause" if self.phase is RUNNING:
                self.phase = ContainerPhase.PAUSED
            case "hang" if self.phase is RUNNING:
                self.health = Health.STUCK
            case "tamper":
                self.cpu = 77
            case "forget":  # the daemon was killed
                self.health = Health.UNKNOWN
            case "update":
                self.revision = "old" if self.revision == "new" else self.revision
            case _:
                pass


@dataclass
class Wish:
    needs: tuple[str, ...] = ()
    runs: bool = True
    built: bool = True
    alone: bool = False
    """It can run beside no other revision."""
    known: bool = False
    """Its earlier revisions could be brought up again."""


@dataclass
class World:
    words: Any
    wishes: dict[str, Wish]
    boxes: dict[str, Box]
    now: float = 10_000.0
    failures: dict[str, list[float]] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: count(1))

    def plan(self, busy: frozenset[str] = frozenset(), order: int = 0) -> Plan:
        shuffled = random.Random(order)  # noqa: S311 - any order will do

        def anyhow(mapping: dict[str, Any]) -> dict[str, Any]:
            return dict(shuffled.sample(sorted(mapping.items()), len(mapping)))

        seen: dict[str, Any] = {}
        for container_id, box in sorted(self.boxes.items()):
            seen.setdefault(box.plugin, []).append(
                self.words.seen(
                    box.plugin,
                    *box.requires,
                    digest=f"{box.plugin}-{box.revision}",
                    health=box.health,
                    container_id=container_id,
                    phase=box.phase,
                    cpu_percent=box.cpu,
                )
            )
        wants: dict[str, Want] = {
            name: self.words.want(
                name,
                *wish.needs,
                running=wish.runs,
                image_ready=wish.built,
                alone=wish.alone,
                known=frozenset({f"{name}-old", f"{name}-older"} if wish.known else ()),
            )
            for name, wish in self.wishes.items()
        }
        histories = {
            f"{name}-new": History(failures=tuple(at)) for name, at in self.failures.items()
        }
        return plan(
            anyhow(wants),
            anyhow(seen),
            anyhow(histories),
            busy={name: [WHOLE] for name in busy},
            now=self.now,
        )

    def answering(self, plugin: str) -> bool:
        return any(box.plugin == plugin and box.answers for box in self.boxes.values())

    def serving(self, plugin: str) -> bool:
        """Whether a call would be answered, by whatever revision."""
        boxes = [box for box in self.boxes.values() if box.plugin == plugin]
        return any((box.phase, box.health) == (RUNNING, Health.READY) for box in boxes)

    def obey(self, action: Action) -> None:  # noqa: C901, PLR0912 - one row a step
        match action:
            case Prepare(plugin_id=name):
                self.wishes[name].built = True
            case Start(plugin_id=name):
                wish = self.wishes[name]
                self.boxes[f"made-{next(self.ids)}"] = Box(name, "new", wish.needs)
            case Resume(container_id=one):
                self.boxes[one].phase = RUNNING
            case Pause():
                raise AssertionError(action)
            case Launch(container_id=one):
                box = self.boxes[one]
                box.phase, box.health, box.cpu = RUNNING, Health.READY, 10
            case Adopt(container_id=one):
                self.boxes[one].health = Health.READY
            case Kill(container_id=one):
                self.end(one)
            case Remove(container_id=one):
                del self.boxes[one]
            case SetCpu(container_id=one, cpu_percent=percent):
                self.boxes[one].cpu = percent

    def end(self, container_id: str) -> None:
        box = self.boxes[container_id]
        box.phase, box.health = EXITED, Health.UNKNOWN
        self.failures.setdefault(box.plugin, []).append(self.now)

    def pass_time(self, wake_at: float | None) -> None:
        self.now = max(self.now + 0.001, wake_at or 0.0)
        for box in self.boxes.values():
            if box.health is Health.STARTING:
                box.health = Health.READY

    def disturb(self, what: str, plugin: str) -> None:
        """What others do meanwhile."""
        for container_id, box in list(self.boxes.items()):
            if box.plugin != plugin:
                continue
            match what:
                case "die" if box.phase is RUNNING:
                    self.end(container_id)
                case "vanish":
                    del self.boxes[container_id]
                case _:
                    box.suffer(what)

    def state(self) -> list[tuple[str, str, str, str, int]]:
        return sorted(
            (box.plugin, box.revision, box.phase, box.health, box.cpu)
            for box in self.boxes.values()
        )

    def wanted_state(self) -> list[tuple[str, str, str, str, int]]:
        return sorted(
            (name, "new", "running", "ready", 10) for name, wish in self.wishes.items() if wish.runs
        )

    def check(self, action: Action, busy: frozenset[str]) -> None:
        """Hold one action against the world as the plan saw it."""
        name = action.plugin_id
        assert name not in busy
        box = None if isinstance(action, Prepare | Start) else self.boxes[action.container_id]
        assert box is None or box.plugin == name
        if isinstance(action, Remove):
            assert box is not None
            self.check_removal(name, box)
            return
        wish = self.wishes[name]
        assert wish.runs
        match action:
            case Prepare():
                assert not wish.built
            case Start():
                beside = [other.revision for other in self.boxes.values() if other.plugin == name]
                assert "new" not in beside
                assert not (beside and wish.alone)
                assert wish.built
                assert all(self.answering(need) for need in wish.needs)
            case Launch():
                assert box is not None
                assert box.revision == "new" or wish.known
                assert box.phase in {CREATED, EXITED}
                assert all(self.serving(need) for need in wish.needs)
            case _:
                assert box is not None
                assert box.revision == "new" or not isinstance(action, SetCpu)
                assert (box.phase is RUNNING) != isinstance(action, Resume)
                needed = {
                    Resume: box.phase is ContainerPhase.PAUSED,
                    Adopt: box.health is Health.UNKNOWN,
                    Kill: box.health is Health.STUCK,
                    SetCpu: box.health is Health.READY and box.cpu != 10,
                }
                assert needed[type(action)]

    def check_replacement(self, name: str, wish: Wish, box: Box) -> None:
        """Of a plugin that is wanted: another revision, and not while calls need it."""
        if box.phase is ContainerPhase.GONE:
            return
        assert box.revision != "new"
        others = [it for it in self.boxes.values() if it.plugin == name and it is not box]
        answered = (box.phase, box.health) == (RUNNING, Health.READY)
        if answered and not wish.alone:
            assert any((it.phase, it.health) == (RUNNING, Health.READY) for it in others)
        if wish.alone and not wish.built and answered:
            raise AssertionError("it was stopped before what replaces it is there")

    def check_removal(self, name: str, box: Box) -> None:
        wish = self.wishes.get(name)
        if wish is not None and wish.runs:
            self.check_replacement(name, wish, box)
            return
        leaving = [
            other
            for other in self.boxes.values()
            if other.plugin not in self.wishes or not self.wishes[other.plugin].runs
        ]
        required = {need for other in leaving for need in other.requires if need != other.plugin}
        free = {other.plugin for other in leaving} - required
        # With nobody free the labels run in a circle, and somebody must be first.
        assert name in free or not free
