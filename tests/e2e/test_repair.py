"""What happens behind the orchestrator's back is noticed, counted, told and mended."""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import docker
import pytest

from tests.support.instance import PLUGINS, Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


def events(instance: Instance, plugin_id: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = instance.status(plugin_id)["events"]
    return [event for event in found if event["type"] == f"orchestrator.plugin.{kind}"]


def test_a_plugin_that_ends_is_started_again_and_its_earlier_log_kept(instance: Instance) -> None:
    instance.manifest("e2e-worker", build=PLUGINS / "worker")
    instance.up()
    first = instance.containers()
    instance.call("e2e-worker", {"text": "last words"}, tool="say")
    left = instance.call("e2e-worker", {"code": 3}, tool="leave", expect=76)
    row = eventually(lambda: _active_again(instance, "e2e-worker"))
    [died] = events(instance, "e2e-worker", "died")
    instance.call("e2e-worker", {"text": "first words"}, tool="say")
    log = instance.run("logs", "e2e-worker").stdout
    tail = instance.run("logs", "e2e-worker", "--tail", "1").stdout

    assert "plugin_" in left
    assert (row["restarts"], row["reason"]) == (1, "exit_code_3")
    assert died["data"]["exit_code"] == 3
    assert instance.containers() == first
    assert log.index("last words") < log.index("first words")
    assert "first words" in tail
    assert "last words" not in tail


def _active_again(instance: Instance, plugin_id: str) -> dict[str, Any] | None:
    row = instance.ps()[plugin_id]
    return row if row["status"] == "active" and row["restarts"] else None


def test_a_plugin_that_always_crashes_is_started_at_growing_intervals(instance: Instance) -> None:
    instance.manifest("e2e-crasher", build=PLUGINS / "crasher")
    done = instance.up(expect=76)
    deaths = eventually(lambda: _at_least(4, events(instance, "e2e-crasher", "died")))
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in deaths[:4]]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    row = instance.ps()["e2e-crasher"]
    log = instance.run("logs", "e2e-crasher").stdout

    assert "e2e-crasher: " in done.stderr
    # Never sooner than 0.5 s doubling; and each start takes some time of its own.
    assert [gap >= least for gap, least in zip(gaps, (0.5, 1.0, 2.0), strict=True)] == [True] * 3
    assert gaps[2] < 2.0 + 3.0
    assert (row["status"], row["reason"]) == ("error", "exit_code_3")
    assert row["restarts"] >= 3
    assert log.count("about to crash") >= 4


def _at_least(count: int, found: list[Any]) -> list[Any] | None:
    return found if len(found) >= count else None


def kill(client: docker.APIClient, container: str) -> None:
    client.kill(container)


def remove(client: docker.APIClient, container: str) -> None:
    client.remove_container(container, force=True)


def stop(client: docker.APIClient, container: str) -> None:
    client.stop(container, timeout=5)


@pytest.mark.parametrize("interfere", [kill, remove, stop])
def test_whatever_is_done_to_a_container_its_plugin_comes_back(
    shared_instance: Instance,
    shared_workshop: Workshop,
    interfere: Callable[[docker.APIClient, str], None],
) -> None:
    shared_workshop.small("e2e-target")
    shared_workshop.small("e2e-other")
    # Again for each test: that also forgives failures of the ones before.
    shared_instance.up()
    before = shared_instance.containers()
    started = shared_instance.inspect("e2e-target")["State"]["StartedAt"]
    with engine() as client:
        interfere(client, before["e2e-target"])
    eventually(lambda: _runs_anew(shared_instance, started))
    shared_instance.call("e2e-target", {"still": "there"})

    assert shared_instance.containers()["e2e-other"] == before["e2e-other"]
    assert shared_instance.ps()["e2e-other"]["restarts"] == 0


def test_a_container_that_somebody_paused_goes_on_as_it_was(
    shared_instance: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.small("e2e-target")
    shared_instance.up()
    before = shared_instance.inspect("e2e-target")
    with engine() as client:
        client.pause(before["Id"])
    eventually(lambda: not shared_instance.inspect("e2e-target")["State"]["Paused"])
    shared_instance.call("e2e-target", {"still": "there"})
    after = shared_instance.inspect("e2e-target")

    assert (after["Id"], after["State"]["StartedAt"]) == (
        before["Id"],
        before["State"]["StartedAt"],
    )


def _runs_anew(instance: Instance, started: str) -> bool:
    row = instance.ps()["e2e-target"]
    if row["status"] != "active" or not row["container_id"]:
        return False
    state = instance.inspect("e2e-target")["State"]
    return state["StartedAt"] != started and state["Running"] and not state["Paused"]


def test_a_cpu_quota_that_was_changed_is_put_back_without_a_restart(
    shared_instance: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.small("e2e-target")
    shared_instance.up()
    before = shared_instance.inspect("e2e-target")
    with engine() as client:
        client.update_container(before["Id"], cpu_quota=77_000)
    after = eventually(lambda: _with_quota(shared_instance, before["HostConfig"]["CpuQuota"]))

    assert before["HostConfig"]["CpuQuota"] == 10_000
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]


def _with_quota(instance: Instance, quota: int) -> dict[str, Any] | None:
    found = instance.inspect("e2e-target")
    return found if found["HostConfig"]["CpuQuota"] == quota else None
