"""Lanes against a real unix socket: dialling, concurrency, cancelled calls, signals, logs."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket

import pytest
from fake_host import Answer, FakeHost, PluginProcess, appears, problem_of, python_plugin


def test_control_dials_first_and_calls_as_often_as_it_was_told(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.lane("calls")
    host.lane("calls")
    time.sleep(0.2)

    assert host.upgrades == ["control", "calls", "calls"]


@pytest.mark.parametrize("tool", ["nap", "async_nap"])
def test_as_many_calls_run_at_once_as_there_are_connections(
    host: FakeHost, plugin: PluginProcess, tool: str
) -> None:
    host.started()
    calls = [host.lane("calls"), host.lane("calls")]
    since = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda call: call.tool(tool, seconds=0.5), calls))
    took = time.monotonic() - since

    assert [answer.value for answer in answers] == [{"slept": 0.5}] * 2
    assert 0.5 <= took < 0.95


def test_a_plugin_finds_a_host_that_went_away_and_came_back(
    folder: Path, host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    host.lane("calls")
    host.close()
    time.sleep(0.3)
    with FakeHost(folder) as later:
        control = later.lane("control", seconds=1.5)
        again = control.initialize()
        answer = later.lane("calls").execute("still here")

    assert later.upgrades[0] == "control"
    assert (again.status, again.value["code"]) == (409, "already_initialized")
    assert answer.value["echo"] == "still here"


def test_no_other_lane_is_dialled_while_control_is_refused(folder: Path) -> None:
    with FakeHost(folder, control=0) as host, python_plugin(folder, sockets=folder):
        time.sleep(0.8)

        assert set(host.upgrades) == {"control"}


def test_no_other_lane_is_dialled_while_a_new_host_has_not_taken_control(
    host: FakeHost, plugin: PluginProcess, folder: Path
) -> None:
    host.started()
    host.lane("calls")
    host.close()
    time.sleep(0.1)
    with FakeHost(folder, control=0) as later:
        time.sleep(1.5)

        assert set(later.upgrades) == {"control"}


def test_dialling_backs_off_while_lanes_are_full(folder: Path) -> None:
    with FakeHost(folder, calls=1) as host, python_plugin(folder, sockets=folder):
        host.lane("calls")
        time.sleep(1.2)

        # 1 taken; refused at about 0, 50, 150, 350, 750 ms
        assert 4 <= host.upgrades.count("calls") <= 7


@pytest.mark.parametrize("tool", ["until_cancelled", "async_nap"])
def test_a_call_that_the_host_gave_up_is_cancelled_and_dialled_again(
    host: FakeHost, plugin: PluginProcess, folder: Path, tool: str
) -> None:
    host.started()
    calls = [host.lane("calls"), host.lane("calls")]
    body = b'{"seconds": 60}' if tool == "async_nap" else b"{}"
    calls[0].begin("POST", "/v1/execute", body, {"X-Tool": tool})
    time.sleep(0.2)
    begun_only = not (folder / "cancelled").exists()
    calls[0].close()
    replacement = host.lane("calls", seconds=1.0)

    assert begun_only
    assert appears(folder / "cancelled")
    assert replacement.execute(1).status == 200


def test_a_function_that_does_not_end_gets_no_replacement_connection(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    calls = [host.lane("calls"), host.lane("calls")]
    calls[0].begin("POST", "/v1/execute", b'{"seconds": 1}', {"X-Tool": "nap"})
    time.sleep(0.1)
    calls[0].close()

    with pytest.raises(AssertionError, match="nothing dialled in"):
        host.lane("calls", seconds=0.6)
    assert host.lane("calls", seconds=1.5).execute(1).status == 200


def test_the_events_lane_is_dialled_when_asked_for_and_delivers(folder: Path) -> None:
    with (
        FakeHost(folder) as host,
        python_plugin(folder, sockets=folder, ORCHESTRATOR_EVENTS="1"),
    ):
        control = host.started()
        events = host.lane("events")
        event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "good", "data": {"n": 1}}

        def deliver(**changes: object) -> Answer:
            return events.ask("POST", "/v1/events", json.dumps({**event, **changes}).encode())

        assert deliver().status == 200
        assert deliver(data_base64="AAE=").status == 200
        assert problem_of(deliver(type="bad")) == (503, "plugin_error")
        assert problem_of(deliver(id="")) == (422, "invalid_input")
        assert problem_of(deliver(data_base64="!")) == (422, "invalid_input")
        assert control.ask("GET", "/v1/status").value == {
            "state": "degraded",
            "detail": "half",
            "metrics": {"events": 2},
        }


def test_sigterm_lets_the_running_call_finish_and_cleans_up(
    host: FakeHost, plugin: PluginProcess, folder: Path
) -> None:
    host.started()
    call = host.lane("calls")
    call.begin("POST", "/v1/execute", b'{"seconds": 0.5}', {"X-Tool": "nap"})
    time.sleep(0.1)
    code = plugin.terminate()

    assert call.answer().value == {"slept": 0.5}
    assert code == 0
    assert (folder / "cleaned").exists()


def test_cleanup_runs_once_and_calls_are_refused_afterwards(
    host: FakeHost, plugin: PluginProcess, folder: Path
) -> None:
    control, call = host.started(), host.lane("calls")
    cleaned = control.ask("POST", "/v1/cleanup")
    (folder / "cleaned").unlink()

    assert cleaned.status == 200
    assert control.ask("POST", "/v1/cleanup").status == 200
    assert problem_of(call.execute(1)) == (503, "not_running")
    assert plugin.terminate() == 0
    assert not (folder / "cleaned").exists()


def test_what_the_plugin_prints_and_logs_reaches_the_log_at_once(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    trace = "0af7651916cd43dd8448eb211c80319c"
    host.lane("calls").execute(
        {"seconds": 0},
        x_tool="nap",
        x_request_id="r-1",
        traceparent=f"00-{trace}-b7ad6b7169203331-01",
    )

    assert "initialized 100" in plugin.output()
    [line] = [line for line in plugin.log() if line["message"] == "napping"]
    assert line.keys() == {"at", "level", "logger", "message", "request_id", "trace_id"}
    assert (line["level"], line["logger"], line["request_id"]) == ("info", "tested", "r-1")
    assert line["trace_id"] == trace


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("import no_such_module", 1, "cannot be loaded"),
        ("Tested = 3", 2, "a subclass of PluginInterface expected"),
        ("raise SystemExit(9)", 9, None),
    ],
)
def test_a_plugin_that_cannot_be_loaded_says_so_and_never_dials(
    folder: Path, host: FakeHost, source: str, code: int, message: str | None
) -> None:
    with python_plugin(folder, source, sockets=folder) as plugin:
        assert plugin.process.wait(10) == code
        assert message is None or message in plugin.log()[-1]["message"]
    assert host.upgrades == []


def test_it_stops_at_once_while_a_lane_waits_for_the_hosts_answer(
    host: FakeHost, plugin: PluginProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.started()
    call = host.lane("calls")
    unanswered: list[socket] = []
    monkeypatch.setattr(host, "_upgrade", unanswered.append)
    call.close()
    while not unanswered:
        time.sleep(0.01)
    started = time.monotonic()
    code = plugin.terminate()
    took = time.monotonic() - started
    unanswered[0].close()

    assert code == 0
    assert took < 5.0
