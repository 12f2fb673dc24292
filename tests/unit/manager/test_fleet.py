"""Fleet: what is wanted and seen in one place, and what of it outlives the daemon."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_SANDBOX
from orchestrator.manager.actions import Health
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.restart import History, end_of
from orchestrator.model.container import ContainerPhase
from orchestrator.sandbox.sandbox import SandboxState
from orchestrator.store.memory import MemoryStore

HISTORY = History(
    failures=(1_700_000_000.123456, 1_700_000_001.5),
    restarts=4,
    reason="oom_killed",
    detail="its memory limit was reached",
    noted="c1@1700000001.500000",
)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(store=MemoryStore())


def later(fleet: Fleet) -> Fleet:
    """The fleet of the next daemon."""
    fleet = Fleet(store=fleet.store)
    fleet.restore()
    return fleet


def test_a_history_outlives_the_daemon_to_the_last_digit(fleet: Fleet) -> None:
    fleet.remember("notes", HISTORY)
    fleet.remember("other", History())

    assert later(fleet).histories == {"notes": HISTORY, "other": History()}


def test_a_history_once_forgotten_does_not_come_back(fleet: Fleet) -> None:
    fleet.remember("notes", HISTORY)
    fleet.forget("notes")

    assert fleet.history("notes") == History()
    assert later(fleet).histories == {}


def test_a_history_of_another_shape_is_read_as_far_as_it_goes(fleet: Fleet) -> None:
    fleet.store.put_all("history", {"notes": {"reason": "exit_code_1", "restarts": "many"}})

    assert later(fleet).history("notes") == History(reason="exit_code_1")


def test_restarts_are_counted_over_the_daemons_end(fleet: Fleet) -> None:
    fleet.remember("notes", HISTORY)
    fleet.count_restart("notes", "notes")

    assert later(fleet).history("notes") == replace(HISTORY, restarts=5)


def test_an_end_that_was_excused_is_no_failure(make: Any, fleet: Fleet) -> None:
    container = make.container(make.deployment(), ContainerPhase.EXITED, finished_at=5.0)
    fleet.excuse(container)

    assert fleet.history(container.label(LABEL_SANDBOX)) == History(noted=end_of(container))


def test_only_the_present_run_counts_as_initialized(make: Any, fleet: Fleet) -> None:
    container = make.container(make.deployment(), started_at=5.0)
    fleet.mark_initialized(container)
    another = later(fleet)

    assert another.was_initialized(container)
    assert not another.was_initialized(replace(container, started_at=6.0))
    assert not another.was_initialized(replace(container, container_id="another"))


def test_a_run_that_was_forgotten_is_not_initialized(make: Any, fleet: Fleet) -> None:
    container = make.container(make.deployment())
    fleet.mark_initialized(container)
    fleet.forget_run(make.deployment().compiled.sandbox_id)

    assert not fleet.was_initialized(container)


@pytest.mark.parametrize(
    ("state", "health"),
    [
        (SandboxState.STARTING, Health.STARTING),
        (SandboxState.READY, Health.READY),
        (SandboxState.DRAINING, Health.READY),
        (SandboxState.STUCK, Health.STUCK),
        (SandboxState.CLOSED, Health.UNKNOWN),
    ],
)
def test_a_containers_health_is_what_its_sandbox_knows(
    make: Any, fleet: Fleet, state: SandboxState, health: Health
) -> None:
    class FakeSandbox:
        trouble = "trouble"

    sandbox: Any = FakeSandbox()
    sandbox.state = state
    container = make.container(make.deployment())
    fleet.containers[container.container_id] = container

    assert fleet.seen()["notes"][0].health is Health.UNKNOWN
    fleet.sandboxes[make.deployment().compiled.sandbox_id] = sandbox
    [sighting] = fleet.seen()["notes"]

    assert (sighting.health, sighting.trouble) == (health, "trouble")


def test_an_image_is_ready_once_the_engine_is_known_to_hold_it(make: Any, fleet: Fleet) -> None:
    fleet.deployments["notes"] = make.deployment()

    assert not fleet.wants()["notes"].image_ready
    fleet.images.add("sha256:1")

    assert fleet.wants()["notes"].image_ready


def test_nobody_waits_for_a_plugin_that_is_left_alone(make: Any, fleet: Fleet) -> None:
    fleet.deployments["notes"] = make.deployment()
    expected = fleet.is_expected("notes")
    fleet.unread.add("notes")

    assert expected
    assert not fleet.is_expected("notes")
