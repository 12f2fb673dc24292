"""statuses: each plugin's state and its one line of detail, one row a situation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_DIGEST, LABEL_VERSION
from orchestrator.manager import situations
from orchestrator.manager.fleet import Fleet, Report
from orchestrator.manager.members import GAVE_UP
from orchestrator.manager.plan import plan
from orchestrator.manager.restart import MAX_FAILURES, History
from orchestrator.manager.statuses import status, statuses
from orchestrator.model.container import ContainerPhase
from orchestrator.model.lifecycle import LIFECYCLE
from orchestrator.model.status import PluginState, PluginStatus, SubState
from orchestrator.sandbox.sandbox import SandboxState
from orchestrator.store.memory import MemoryStore

ACTIVE, INACTIVE, ERROR = PluginState.ACTIVE, PluginState.INACTIVE, PluginState.ERROR
FAILED = History(failures=(1.0,), restarts=2, reason="exit_code_1", detail="it ended")


@dataclass
class FakeSandbox:
    """What a fleet asks of a sandbox."""

    state: SandboxState
    trouble: str = ""


class Scene:
    """A fleet with one plugin, set up in few words."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.fleet = Fleet(store=MemoryStore())
        self.deployment = make.deployment()

    def wanted(self, **spec: Any) -> "Scene":
        self.deployment = self.make.deployment(spec=spec)
        self.fleet.deployments["notes"] = self.deployment
        return self

    def there(self, state: SandboxState | None = None, trouble: str = "", **fields: Any) -> "Scene":
        container = self.make.container(self.deployment, **fields)
        self.fleet.containers[container.container_id] = container
        if state is not None:
            sandbox: Any = FakeSandbox(state, trouble)
            self.fleet.sandboxes[self.deployment.compiled.sandbox_id] = sandbox
        return self

    def begin(self, words: str) -> None:
        self.fleet.busy.begin("notes", "a step", words)

    def says(self, report: Report) -> None:
        self.fleet.reports[self.deployment.compiled.sandbox_id] = report

    def failed(self) -> None:
        self.fleet.histories[self.deployment.compiled.sandbox_id] = FAILED

    @property
    def sub_state(self) -> SubState:
        [found] = statuses(self.fleet)
        assert found.status is LIFECYCLE[found.sub_state].state
        return found.sub_state

    @property
    def row(self) -> tuple[PluginState, str]:
        [found] = statuses(self.fleet)
        return found.status, found.detail


@pytest.fixture
def scene(make: Any) -> Iterator[Scene]:
    return Scene(make)


def test_a_ready_plugin_is_active_and_says_where_it_runs(scene: Scene) -> None:
    scene.wanted().there(SandboxState.READY)

    assert statuses(scene.fleet) == [
        PluginStatus(
            plugin_id="notes",
            version="1.2.3",
            status=ACTIVE,
            sub_state=SubState.RUNNING,
            detail="running",
            container_id=f"id-{scene.deployment.compiled.sandbox_id}",
            restarts=0,
            reason="",
        )
    ]


def test_a_ready_plugin_with_a_step_under_way_tells_the_step(scene: Scene) -> None:
    scene.wanted().there(SandboxState.READY).begin("repairing its CPU limit")

    assert scene.row == (ACTIVE, "repairing its CPU limit")


@pytest.mark.parametrize(
    ("report", "row"),
    [
        (Report(state="ready", detail="fine"), (ACTIVE, "running")),
        (Report(state="degraded", detail="no index"), (ACTIVE, "degraded: no index")),
        (Report(state="error", detail="no disk"), (ERROR, "says of itself: no disk")),
        (Report(state="error"), (ERROR, "says of itself: error")),
    ],
)
def test_what_a_ready_plugin_says_of_itself_counts(
    scene: Scene, report: Report, row: tuple[PluginState, str]
) -> None:
    scene.wanted().there(SandboxState.READY).says(report)

    assert scene.row == row


def test_a_plugin_that_failed_once_and_runs_again_is_active_with_its_reason(scene: Scene) -> None:
    scene.wanted().there(SandboxState.READY).failed()
    [found] = statuses(scene.fleet)

    assert (found.status, found.detail) == (ACTIVE, "running")
    assert (found.restarts, found.reason) == (2, "exit_code_1")


def test_a_plugin_that_nothing_is_known_of_yet_is_pending(scene: Scene) -> None:
    assert scene.wanted().row == (INACTIVE, "pending")


def test_a_plugin_that_starts_tells_its_step(scene: Scene) -> None:
    scene.wanted().there(SandboxState.STARTING).begin("starting")

    assert scene.row == (INACTIVE, "starting")


def test_a_plugin_that_waits_tells_what_for(scene: Scene) -> None:
    scene.wanted().fleet.waiting["notes"] = "waiting for search"

    assert scene.row == (INACTIVE, "waiting for search")


def test_a_plugin_that_failed_tells_what_comes_next_and_why(scene: Scene) -> None:
    scene.wanted().there(phase=ContainerPhase.EXITED).failed()
    scene.fleet.waiting["notes"] = "restarting in 3.0 s"

    assert scene.row == (ERROR, "restarting in 3.0 s; exit_code_1: it ended")


def test_a_stuck_plugin_is_in_error_with_its_trouble(scene: Scene) -> None:
    scene.wanted().there(SandboxState.STUCK, "missed its deadline")

    assert scene.row == (ERROR, "missed its deadline")


def test_a_running_container_that_is_not_adopted_yet_is_not_active(scene: Scene) -> None:
    assert scene.wanted().there().row == (INACTIVE, "pending")


def test_another_revision_that_takes_the_calls_is_told_and_is_not_what_is_wanted(
    scene: Scene,
) -> None:
    scene.wanted().there(SandboxState.READY, labels={LABEL_DIGEST: "another"})
    [found] = statuses(scene.fleet)

    assert scene.row == (ACTIVE, "updating: 0 of 1 in the wanted revision")
    assert not found.settled


def test_a_plugin_wanted_stopped_is_inactive(scene: Scene) -> None:
    scene.wanted(state="stopped")

    assert scene.row == (INACTIVE, "stopped")
    assert scene.there().row == (INACTIVE, "stopping")


def test_an_unwanted_container_shows_as_stopping_with_its_own_version(scene: Scene) -> None:
    scene.there(labels={LABEL_VERSION: "0.9.0"})
    [found] = statuses(scene.fleet)

    assert (found.status, found.detail, found.version) == (INACTIVE, "stopping", "0.9.0")


def test_the_container_told_is_that_of_the_wanted_revision(scene: Scene) -> None:
    scene.wanted().there(SandboxState.READY)
    scene.there(name="aaa", container_id="old", labels={LABEL_DIGEST: "another"})

    assert statuses(scene.fleet)[0].container_id != "old"


def test_a_plugin_that_nobody_knows_has_no_status(scene: Scene) -> None:
    assert status(scene.fleet, "notes") is None
    assert status(scene.wanted().fleet, "notes") == statuses(scene.fleet)[0]


# -- the table's sub-states ---------------------------------------------------------------------


def _failed(scene: Scene, *, times: int = 1, busy: str = "", waiting: str = "") -> Scene:
    sandbox_id = scene.deployment.compiled.sandbox_id
    scene.fleet.histories[sandbox_id] = replace(FAILED, failures=(1.0,) * times)
    if busy:
        scene.begin(busy)
    if waiting:
        scene.fleet.waiting["notes"] = waiting
    return scene


def _busy(scene: Scene, words: str, *, image: bool = True) -> Scene:
    scene.begin(words)
    if image:
        scene.fleet.images.add(scene.deployment.inputs.image)
    return scene


def _report(scene: Scene, state: str) -> Scene:
    scene.there(SandboxState.READY).says(Report(state=state))
    return scene


def _waits(scene: Scene) -> Scene:
    scene.fleet.waiting["notes"] = "waiting for search"
    return scene


def _paused(scene: Scene) -> Scene:
    scene.fleet.paused.add("notes")
    return scene.there(SandboxState.READY, labels={LABEL_DIGEST: "another"})


def _idle(scene: Scene) -> Scene:
    scene.wanted(idle_timeout=1)
    scene.fleet.used_at["notes"] = -1_000_000.0
    return scene


EXITED = ContainerPhase.EXITED
SITUATIONS: dict[str, tuple[SubState, Callable[[Scene], Scene]]] = {
    "nothing is known": (SubState.PENDING, lambda s: s),
    "an old failure, and no look yet": (SubState.PENDING, _failed),
    "its image is built": (SubState.PREPARING, lambda s: _busy(s, "step 3 of 7", image=False)),
    "it is started": (SubState.STARTING, lambda s: _busy(s, "starting")),
    "it failed and is started": (
        SubState.RESTARTING,
        lambda s: _failed(_busy(s, "starting"), busy="starting"),
    ),
    "it failed and its image is built again": (
        SubState.RESTARTING,
        lambda s: _failed(_busy(s, "step 3", image=False), busy="step 3"),
    ),
    "it is adopted": (SubState.ADOPTING, lambda s: _busy(s.there(), "adopting")),
    "it failed and is adopted": (
        SubState.ADOPTING,
        lambda s: _failed(_busy(s.there(), "adopting"), busy="adopting"),
    ),
    "it failed, runs, and is about to be adopted": (
        SubState.ADOPTING,
        lambda s: _failed(s.there()),
    ),
    "it is taken away for another": (SubState.STOPPING, lambda s: _busy(s.there(), "stopping")),
    "it finishes its calls": (SubState.DRAINING, lambda s: s.there(SandboxState.DRAINING)),
    "it waits": (SubState.WAITING, _waits),
    "it runs": (SubState.RUNNING, lambda s: s.there(SandboxState.READY)),
    "it calls itself degraded": (SubState.DEGRADED, lambda s: _report(s, "degraded")),
    "it calls itself broken": (SubState.UNHEALTHY, lambda s: _report(s, "error")),
    "another revision takes the calls": (
        SubState.UPDATING,
        lambda s: s.there(SandboxState.READY, labels={LABEL_DIGEST: "another"}),
    ),
    "another takes the calls, and is to go on": (SubState.PAUSED, _paused),
    "it sleeps": (SubState.IDLE, _idle),
    "it is stuck": (SubState.STUCK, lambda s: s.there(SandboxState.STUCK, "deaf")),
    "it failed and ended": (SubState.BACKING_OFF, lambda s: _failed(s.there(phase=EXITED))),
    "it failed without a container": (
        SubState.BACKING_OFF,
        lambda s: _failed(s, waiting="restarting in 3.0 s"),
    ),
    "it failed too often": (
        SubState.GAVE_UP,
        lambda s: _failed(s.there(phase=EXITED), times=MAX_FAILURES + 1),
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_has_its_sub_state_and_the_state_that_the_table_gives_it(
    scene: Scene, situation: str
) -> None:
    sub_state, set_up = SITUATIONS[situation]
    set_up(scene.wanted())

    assert scene.sub_state is sub_state


def test_a_plugin_that_cannot_be_taken_up_is_told_with_the_reason(scene: Scene) -> None:
    scene.there().fleet.unread.add("notes")
    scene.fleet.unfit["notes"] = "plugin.yaml min_core_version: found 9.0.0"
    [found] = statuses(scene.fleet)

    assert (found.status, found.sub_state) == (ERROR, SubState.UNFIT)
    assert found.detail.startswith("left as it is, as its record was lost or cannot be taken up; ")
    assert found.detail.endswith("; plugin.yaml min_core_version: found 9.0.0")


def test_an_old_failure_is_no_news_of_a_plugin_that_is_taken_over(scene: Scene) -> None:
    _failed(_busy(scene.wanted().there(), "adopting"), busy="adopting")

    assert scene.row == (INACTIVE, "adopting")


def test_what_the_plan_says_is_read_as_it_means(words: Any) -> None:
    """The words are plan's; the sub-states follow from them."""
    want = words.want("a", "b")
    made = plan({"a": want}, {}, {}, busy={}, now=0.0)
    tired = words.failed(*(float(n) for n in range(MAX_FAILURES + 1)))
    given_up = plan({"a": words.want("a")}, {}, {"a-new": tired}, busy={}, now=20.0)

    assert made.waiting["a"].startswith(situations.WAITING)
    assert given_up.waiting["a"] == GAVE_UP
