"""statuses: each plugin's state and its one line of detail, one row a situation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_DIGEST, LABEL_VERSION
from orchestrator.manager.fleet import Fleet, Report
from orchestrator.manager.restart import History
from orchestrator.manager.statuses import status, statuses
from orchestrator.model.container import ContainerPhase
from orchestrator.model.status import PluginState, PluginStatus
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
