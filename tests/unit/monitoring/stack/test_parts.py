"""The stack's containers: what each gets, and that nothing leads from them to the host."""

from dataclasses import fields

import pytest

from orchestrator.model.container import ContainerSpec
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.monitoring.stack.parts import StackImages
from tests.unit.monitoring.stack.house import ALL, ON, wanted

PARTS = wanted()
EACH = pytest.mark.parametrize("name", PARTS)


@EACH
def test_every_part_is_as_hardened_as_a_plugin(name: str) -> None:
    spec, plain = PARTS[name].spec, {field.name: field.default for field in fields(ContainerSpec)}

    for kept in ("user", "read_only_root", "no_new_privileges", "capabilities", "init", "runtime"):
        assert getattr(spec, kept) == plain[kept], kept
    assert spec.masked_paths
    assert spec.memory_bytes > 0
    assert spec.pids_limit > 0


@EACH
def test_only_the_door_is_on_the_hosts_network(name: str) -> None:
    modes = {"inner": "none", "door": "host"}
    expected = modes.get(name, f"container:{PARTS['inner'].container_name}")

    assert PARTS[name].spec.network_mode == expected
    assert PARTS[name].joins == (name in {"prometheus", "grafana"})


@EACH
def test_only_the_relays_write_into_a_folder_of_the_host(name: str) -> None:
    binds = {(it.source, it.read_only) for it in PARTS[name].spec.bind_mounts}

    relays = {"inner", "door"}
    assert binds == ({("/relay", False)} if name in relays else {("/files", True)})


def test_the_door_leads_from_loopback_to_the_two_pages_and_to_the_metrics_alone() -> None:
    config = MonitoringConfig(stack=True, grafana_port=1, prometheus_port=2, listen="127.0.0.1:3")

    command = wanted(config)["door"].spec.command
    assert command[-3:] == (
        "unix:/run/relay/metrics.sock=tcp:127.0.0.1:3",
        "page:127.0.0.1:2=unix:/run/relay/prometheus.sock",
        "page:127.0.0.1:1=unix:/run/relay/grafana.sock",
    )


def test_inside_nothing_listens_beyond_loopback() -> None:
    prometheus, grafana = PARTS["prometheus"].spec, dict(PARTS["grafana"].spec.environment)

    assert "--web.listen-address=127.0.0.1:9090" in prometheus.command
    assert grafana["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert not any("lifecycle" in word or "admin" in word for word in prometheus.command)


def test_prometheus_keeps_the_traces_of_calls() -> None:
    assert "--enable-feature=exemplar-storage" in PARTS["prometheus"].spec.command


def test_who_looks_at_grafana_may_change_nothing() -> None:
    settings = dict(PARTS["grafana"].spec.environment)

    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_prometheus_keeps_less_than_its_disk_holds() -> None:
    spec = wanted(MonitoringConfig(stack=True, disk_mb=900, retention_days=3))["prometheus"].spec

    assert "--storage.tsdb.retention.size=600MB" in spec.command
    assert "--storage.tsdb.retention.time=3d" in spec.command
    assert [it.size_bytes for it in spec.volume_mounts] == [900 << 20]


def test_without_its_image_grafana_is_left_out() -> None:
    images = StackImages(relay="base", prometheus="prom", grafana="")

    assert [*wanted(ON, images)] == ["inner", "door", "prometheus"]


@pytest.mark.parametrize(
    ("changed", "config"),
    [
        ({"door"}, MonitoringConfig(stack=True, listen="127.0.0.1:1")),
        ({"door", "grafana"}, MonitoringConfig(stack=True, grafana_port=1)),
        ({"door", "prometheus"}, MonitoringConfig(stack=True, prometheus_port=1)),
        ({"prometheus"}, MonitoringConfig(stack=True, retention_days=1)),
    ],
)
def test_a_setting_changes_the_digest_of_just_whom_it_concerns(
    changed: set[str], config: MonitoringConfig
) -> None:
    new = wanted(config, ALL)

    assert {name for name in PARTS if new[name].digest != PARTS[name].digest} == changed
