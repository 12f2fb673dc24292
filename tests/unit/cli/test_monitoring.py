"""`up --monitoring`: what is asked for, and what is said of the stack."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import PLUGIN_ROW, FakeDaemon


def _part(name: str, port: int, *, detail: str = "") -> dict[str, Any]:
    address = f"http://127.0.0.1:{port}"
    return {"name": name, "running": not detail, "address": address, "detail": detail}


def _state(*parts: dict[str, Any], trouble: str = "") -> dict[str, Any]:
    return {"wanted": bool(parts), "settled": True, "trouble": trouble, "parts": list(parts)}


PROMETHEUS, GRAFANA = _part("prometheus", 9090), _part("grafana", 3000)


@pytest.fixture
def told(daemon: FakeDaemon, tmp_path: Path) -> FakeDaemon:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "notes.yaml").write_text(
        "apiVersion: orchestrator/v1\nkind: Plugin\nmetadata: {name: notes}\n"
        "spec: {source: {image: notes}}\n"
    )
    daemon.answer("/v1/desired", {"plugins": ["notes"]})
    daemon.answer("/v1/plugins", [PLUGIN_ROW])
    return daemon


def _wish(daemon: FakeDaemon) -> dict[str, Any]:
    [asked] = [it for it in daemon.asked if it.method == "PUT"]
    wish: dict[str, Any] = json.loads(asked.body)
    return wish


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--monitoring"], {"monitoring": True}),
        (["--no-monitoring"], {"monitoring": False}),
        ([], {}),
    ],
)
def test_the_option_is_passed_on_and_without_it_nothing_is_said(
    shell: Shell, told: FakeDaemon, option: list[str], said: dict[str, bool]
) -> None:
    shell("up", "--detach", *option)

    wish = _wish(told)
    assert {key: wish[key] for key in wish if key == "monitoring"} == said


def test_the_addresses_are_shown_once_all_runs(shell: Shell, told: FakeDaemon) -> None:
    told.answer("/v1/monitoring", _state(PROMETHEUS, GRAFANA))
    shown = shell("up", "--detach", "--wait", "--monitoring")

    line = "monitoring: prometheus http://127.0.0.1:9090, grafana http://127.0.0.1:3000"
    assert shown.code == 0
    assert line in shown.err.splitlines()


def test_what_does_not_run_is_said_in_one_line(shell: Shell, told: FakeDaemon) -> None:
    why = "grafana/grafana:13.2.2: no registry answers"
    told.answer("/v1/monitoring", _state(PROMETHEUS, _part("grafana", 3000, detail=why)))
    lines = shell("up", "--detach", "--wait", "--monitoring").err.splitlines()

    assert "monitoring: prometheus http://127.0.0.1:9090" in lines
    assert f"monitoring: grafana does not run: {why}" in lines


def test_words_of_containers_cannot_steer_the_terminal(shell: Shell, told: FakeDaemon) -> None:
    told.answer("/v1/monitoring", _state(_part("grafana", 3000, detail="\x1b]0;x\x07\nfake: ok")))
    shown = shell("up", "--detach", "--wait", "--monitoring")

    assert "\x1b" not in shown.err
    assert "\x07" not in shown.err
    assert "fake: ok" not in shown.err.splitlines()


def test_where_nobody_wants_it_nothing_is_said(shell: Shell, told: FakeDaemon) -> None:
    told.answer("/v1/monitoring", _state())

    assert "monitoring" not in shell("up", "--detach", "--wait").err


def test_a_daemon_of_an_earlier_version_is_no_hindrance(shell: Shell, told: FakeDaemon) -> None:
    assert shell("up", "--detach", "--wait").code == 0
    assert "monitoring" not in _wish(told)


def test_status_shows_where_metrics_are_and_how_the_stack_does(
    shell: Shell, daemon: FakeDaemon
) -> None:
    why = "grafana/grafana:13.2.2: no registry answers"
    daemon.answer(
        "/v1/status",
        {
            "pid": 1,
            "version": "1",
            "instance": "default",
            "uptime_seconds": 1.0,
            "plugins": 0,
            "engine": {"error": "away"},
            "state_folder": "/state",
            "log_file": "/log",
            "state_trouble": "",
            "metrics": "127.0.0.1:9464",
            "monitoring": _state(PROMETHEUS, _part("grafana", 3000, detail=why)),
        },
    )
    shown = shell("status").out

    assert "metrics     127.0.0.1:9464" in shown
    assert "monitoring  prometheus http://127.0.0.1:9090" in shown
    assert f"grafana does not run: {why}" in shown
