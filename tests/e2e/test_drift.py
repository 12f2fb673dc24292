"""What somebody changes on a running container by Docker's own means is seen, told, set back."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import docker
import pytest

from orchestrator.clock import SystemClock
from orchestrator.manager.outside import SETTLED_SECONDS
from tests.support.instance import Instance, engine, eventually, new_name
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

PLUGIN = "e2e-drifter"


def update(client: docker.APIClient, container: str, **body: Any) -> None:
    """`docker update`; the SDK's own knows nothing of processes."""
    client._result(client._post_json(client._url("/containers/{0}/update", container), data=body))


def drifted(instance: Instance) -> dict[str, dict[str, Any]]:
    """Field → what the latest event of it says."""
    events = instance.status(PLUGIN)["events"]
    kind = "orchestrator.plugin.drifted"
    return {event["data"]["field"]: event["data"] for event in events if event["type"] == kind}


@pytest.fixture
def drifter(shared_instance: Instance, shared_workshop: Workshop) -> Instance:
    shared_workshop.small(PLUGIN)
    shared_instance.policy(reconcile={"full_pass_seconds": 1})
    shared_instance.up("--config", str(shared_instance.config))
    return shared_instance


@pytest.fixture
def network() -> Iterator[str]:
    """A stranger's."""
    name = f"{new_name()}-lan"
    with engine() as client:
        client.create_network(name)
        yield name
        client.remove_network(name)


def _limits(found: dict[str, Any]) -> tuple[Any, ...]:
    host = found["HostConfig"]
    networks = sorted(found["NetworkSettings"]["Networks"])
    names = ("Memory", "MemorySwap", "PidsLimit", "CpuQuota", "RestartPolicy")
    return (found["Name"], *(host[name] for name in names), [n for n in networks if n != "none"])


def test_what_can_be_set_back_is_while_the_plugin_runs_on(drifter: Instance, network: str) -> None:
    before = drifter.inspect(PLUGIN)
    with engine() as client:
        update(client, before["Id"], Memory=512 << 20, MemorySwap=1 << 30, PidsLimit=9_999)
        update(client, before["Id"], RestartPolicy={"Name": "always"}, CpuQuota=77_000)
        client.rename(before["Id"], f"{drifter.name}-mine")
        client.disconnect_container_from_network(before["Id"], "none")
        client.connect_container_to_network(before["Id"], network)
        eventually(
            lambda: _limits(client.inspect_container(before["Id"])) == _limits(before), seconds=60
        )
        after = client.inspect_container(before["Id"])
    told = eventually(lambda: (found := drifted(drifter)) and len(found) >= 6 and found, seconds=60)
    entries = drifter.run("audit", "--json", "--plugin", PLUGIN).stdout

    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert told["memory_bytes"]["found"] == 512 << 20
    assert told["memory_bytes"]["expected"] == before["HostConfig"]["Memory"]
    assert told["networks"]["detail"] == f"networks: found {network}, expected none"
    assert {"pids_limit", "restart_policy", "name", "memory_swap_bytes"} <= told.keys()
    assert '"plugin_drift"' in entries
    assert drifter.call(PLUGIN, {"still": "there"})
    assert drifter.ps()[PLUGIN]["restarts"] == 0


def test_what_cannot_be_set_back_has_the_container_replaced(drifter: Instance) -> None:
    before = drifter.inspect(PLUGIN)
    with engine() as client:
        update(client, before["Id"], CpuShares=2)
    eventually(lambda: drifter.containers().get(PLUGIN, before["Id"]) != before["Id"], seconds=60)
    eventually(lambda: drifter.ps()[PLUGIN]["status"] == "active", seconds=60)
    shares = drifter.inspect(PLUGIN)["HostConfig"]["CpuShares"]

    assert shares == 0
    assert drifted(drifter)["cpu_shares"]["cure"] == "replace"


def test_a_program_run_beside_is_shown_while_it_runs_and_left_alone(drifter: Instance) -> None:
    before = drifter.inspect(PLUGIN)
    with engine() as client:
        command = client.exec_create(before["Id"], ["/plugin/c-echo"])
        client.exec_start(command["Id"], detach=True)
        shown = eventually(lambda: drifter.status(PLUGIN)["container_drift"], seconds=60)
        words = drifter.run("status", PLUGIN).stdout
        after = client.inspect_container(before["Id"])

    assert [(row["field"], row["found"], row["cure"]) for row in shown] == [
        ("exec_sessions", 1, "tell")
    ]
    assert "exec_sessions: found 1, expected 0" in words
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_a_plugin_that_somebody_stops_is_started_again_and_has_not_failed(
    drifter: Instance,
) -> None:
    before = drifter.inspect(PLUGIN)
    started = before["State"]["StartedAt"]
    # The run must have lasted for long enough not to be held against it.
    settled = datetime.fromisoformat(started).timestamp() + SETTLED_SECONDS + 1
    eventually(lambda: SystemClock().now() > settled, seconds=60)
    with engine() as client:
        client.stop(before["Id"], timeout=5)
    eventually(lambda: drifter.inspect(PLUGIN)["State"]["StartedAt"] != started, seconds=60)
    eventually(lambda: drifter.ps()[PLUGIN]["status"] == "active", seconds=60)
    status = drifter.status(PLUGIN)

    assert status["reason"] == "stopped_from_outside"
    assert status["recent_failures"] == 0
    assert json.dumps(status["last_failure"]).count("SIG") == 1


def test_an_unchanged_fleet_is_left_alone_pass_after_pass(drifter: Instance) -> None:
    with engine() as client:
        before = client.inspect_container(drifter.ps()[PLUGIN]["container_id"])
        news = [event["id"] for event in drifter.status(PLUGIN)["events"]]
        for _ in range(20):
            # Each event of the engine brings a look at the container, and a pass.
            update(client, before["Id"], Memory=before["HostConfig"]["Memory"])
        after = client.inspect_container(before["Id"])

    assert [event["id"] for event in drifter.status(PLUGIN)["events"]] == news
    assert after == before
