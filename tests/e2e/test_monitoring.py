"""The monitoring stack beside a real daemon, and every expression of boards and alerts on it."""

import contextlib
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests.support.instance import Instance, engine, eventually
from tests.support.prometheus import Prometheus, free_ports, plain, prometheus, until
from tests.support.scene import SHOP, STOCK, Scene, upstream
from tests.support.workshop import Workshop
from tests.unit.grafana.boards import BOARDS, RULES, expressions, load

pytestmark = pytest.mark.docker

WORK_SECONDS = 10.0
ROLE = "orchestrator.role=monitoring"


class House:
    """The instance, its bundled Prometheus, and one of the test's own that looks each second."""

    def __init__(self, instance: Instance, bundled: Prometheus, quick: Prometheus) -> None:
        self.instance = instance
        self.bundled = bundled
        self.quick = quick
        self.told = ""


@pytest.fixture(scope="module")
def house(
    shared_instance: Instance,
    shared_workshop: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    listen, prometheus_port, grafana_port = free_ports(3)
    folder = tmp_path_factory.mktemp("prometheus")
    address = f"127.0.0.1:{listen}"
    with (
        upstream() as web,
        prometheus(folder, target=address, instance=shared_instance.name) as quick,
    ):
        scene = Scene(shared_instance, shared_workshop, web)
        scene.policy(
            listen=address,
            grafana_port=grafana_port,
            prometheus_port=prometheus_port,
            disk_mb=256,
        )
        scene.write()
        bundled = Prometheus(f"http://127.0.0.1:{prometheus_port}")
        made = House(shared_instance, bundled, quick)
        made.told = shared_instance.up("--monitoring").stderr
        shared_instance.run("run-code", "-", stdin=b"1 + 1")
        scene.work(WORK_SECONDS / 2)
        until(lambda: quick.query("orchestrator_code_runs_total"), seconds=15)
        shared_instance.run("run-code", "-", stdin=b"1 + 2")  # the first may not be seen to come
        scene.mishaps()
        scene.work(WORK_SECONDS / 2)
        yield made


def _containers(instance: Instance) -> dict[str, dict[str, Any]]:
    """Part → `docker inspect`."""
    found: dict[str, Any] = {}
    with engine() as client:
        chosen = [*instance._chosen()["label"], ROLE]
        for container in client.containers(all=True, filters={"label": chosen}):
            with contextlib.suppress(docker.errors.NotFound):  # it is being replaced
                part = container["Labels"]["orchestrator.monitoring"]
                found[part] = client.inspect_container(container["Id"])
    return found


# -- every expression --------------------------------------------------------------------------


NO_GIT = {
    "Git A": "orchestrator_gitops_state",
    "Last synced A": "orchestrator_gitops_last_success_seconds",
    "State of the sync A": "orchestrator_gitops_state",
    "Git: taken up, set back, failed A": "orchestrator_gitops_syncs_total",
    "Git: taken up, set back, failed B": "orchestrator_gitops_heals_total",
    "Git: taken up, set back, failed C": "orchestrator_gitops_failures_total",
}
"""Absent where nothing is synced with git; test_gitops.py asks for them where something is."""


WELL = {"Tasks that failed A"}
"""What shows nothing while all is well is asked without its last `> 0`."""


@pytest.mark.parametrize("name", [path.name for path in BOARDS])
def test_every_expression_of_a_board_has_something_to_show(house: House, name: str) -> None:
    wanted = {
        where: plain(expression, SHOP).removesuffix(" > 0" if where in WELL else "")
        for where, expression in expressions(load(name))
        if where not in NO_GIT
    }

    def empty(expression: str) -> bool:
        """The stock's events are on the stock's board; what moved a while ago was seen then."""
        return not any(
            house.quick.query(f"max_over_time(({it})[90s:1s])")
            for it in (expression, expression.replace(SHOP, STOCK))
        )

    late = {where: expression for where, expression in wanted.items() if empty(expression)}
    until(lambda: not any(map(empty, late.values())), seconds=15)
    late = {where: expression for where, expression in late.items() if empty(expression)}

    assert late == {}


def test_what_the_boards_ask_of_git_is_absent_here(house: House) -> None:
    assert [name for name in NO_GIT.values() if house.quick.query(name)] == []


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_rule_is_evaluated_and_looks_at_series_that_exist(house: House, path: Path) -> None:
    groups = house.quick.ask("rules")["groups"]
    mine = [
        rule for group in groups if group["file"].endswith(path.name) for rule in group["rules"]
    ]
    asked = {
        found
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        for found in re.findall(r"orchestrator_\w+", rule["expr"])
    }

    assert [(rule["name"], rule["lastError"]) for rule in mine if rule["health"] != "ok"] == []
    assert {name for name in asked if not house.quick.query(f"max_over_time({name}[2m])")} == {
        name for name in asked if "gitops" in name
    }


def test_the_days_mishaps_make_alerts_fire(house: House) -> None:
    def firing() -> set[str]:
        return {series["metric"]["alertname"] for series in house.quick.query("ALERTS")}

    eventually(lambda: firing() >= {"RolledBack", "SecurityAlert"}, seconds=10)


# -- the stack ---------------------------------------------------------------------------------


def test_up_says_where_it_is_and_what_of_it_does_not_run(house: House) -> None:
    lines = [line for line in house.told.splitlines() if line.startswith("monitoring: ")]

    assert lines[0].startswith(f"monitoring: prometheus {house.bundled.address}")
    assert len(lines) == 1 or lines[1].startswith("monitoring: grafana does not run: grafana/")


def test_the_bundled_prometheus_sees_the_daemon_and_has_the_rules(house: House) -> None:
    eventually(lambda: house.bundled.query('up{job="orchestrator"} == 1'), seconds=15)
    groups = {group["name"] for group in house.bundled.ask("rules")["groups"]}

    assert house.bundled.value("count(orchestrator_build_info)") == 1
    assert groups == {
        group["name"] for path in RULES for group in yaml.safe_load(path.read_text())["groups"]
    }


def test_its_containers_have_nothing_that_they_need_not(house: House) -> None:
    containers = _containers(house.instance)

    assert {"inner", "door", "prometheus"} <= containers.keys()
    for found in containers.values():
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert "no-new-privileges" in host["SecurityOpt"]
        assert host["Memory"] == host["MemorySwap"] > 0
        assert host["PidsLimit"] > 0
        assert found["Config"]["User"] == "65532:65532"


def test_nothing_but_its_own_loopback_is_in_the_network_of_prometheus(house: House) -> None:
    containers = _containers(house.instance)
    inner, prometheus_ = containers["inner"], containers["prometheus"]
    mounts = {mount["Destination"] for mount in prometheus_["Mounts"]}

    assert inner["HostConfig"]["NetworkMode"] == "none"
    assert prometheus_["HostConfig"]["NetworkMode"] == f"container:{inner['Id']}"
    assert mounts == {"/etc/orchestrator", "/prometheus"}
    devices = Path(f"/proc/{prometheus_['State']['Pid']}/net/dev").read_text().splitlines()[2:]
    assert [line.partition(":")[0].strip() for line in devices] == ["lo"]


def test_the_door_opens_on_loopback_only_and_leads_to_no_control(house: House) -> None:
    port = int(house.bundled.address.rpartition(":")[2])
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    assert listening == {f"0100007F:{port:04X}"}

    door = _containers(house.instance)["door"]
    sources = {mount["Source"] for mount in door["Mounts"]}
    folder = house.instance.home / house.instance.name
    assert sources == {str(folder / "monitoring" / "relay")}
    assert {path.name for path in (folder / "monitoring" / "relay").iterdir()} == {
        "grafana.sock",
        "metrics.sock",
        "prometheus.sock",
    }


def test_a_killed_container_comes_back_and_keeps_what_it_knew(house: House) -> None:
    before = _containers(house.instance)
    oldest = house.bundled.value("timestamp(up offset 5s)")
    with engine() as client:
        client.kill(before["inner"]["Id"])

    def back() -> bool:
        now = _containers(house.instance)
        changed = {name for name in now if now[name]["Id"] != before[name]["Id"]}
        return {"inner", "prometheus"} <= changed and house.bundled.ready()

    eventually(back, seconds=30)
    kept = house.bundled.ask("query", query="timestamp(up)", time=str(oldest))["result"]
    assert [float(series["value"][1]) for series in kept] == [oldest]


def test_the_pages_of_prometheus_are_served(house: House) -> None:
    eventually(house.bundled.ready)
    with urllib.request.urlopen(house.bundled.address, timeout=5) as answer:
        assert b"Prometheus" in answer.read()


def test_down_takes_all_of_it_away(house: House) -> None:
    house.instance.down(volumes=False)

    assert _containers(house.instance) == {}
    assert not house.bundled.ready()
    kept = [name for name in house.instance.volumes() if "monitoring-prometheus" in name]
    assert len(kept) == 1


def test_the_file_alone_can_ask_for_it(instance: Instance, workshop: Workshop) -> None:
    listen, prometheus_port, grafana_port = free_ports(3)
    workshop.small("e2e-target")
    monitoring = {
        "stack": True,
        "listen": f"127.0.0.1:{listen}",
        "prometheus_port": prometheus_port,
        "grafana_port": grafana_port,
        "disk_mb": 256,
    }
    instance.config.write_text(yaml.safe_dump({"monitoring": monitoring}))
    told = instance.up().stderr
    asked = Prometheus(f"http://127.0.0.1:{prometheus_port}")

    assert f"monitoring: prometheus {asked.address}" in told
    eventually(asked.ready, seconds=30)
    assert {"inner", "door", "prometheus"} <= _containers(instance).keys()
