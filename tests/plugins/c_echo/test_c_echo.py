"""A plugin without any SDK keeps the contract: the one in C, against the SDK tests' host."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from fake_host import FakeHost, PluginProcess

from orchestrator.model.info import PluginInfo

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("c_echo") / "c-echo"
    flags = "CFLAGS=-O2 -Wall -Wextra -Werror"
    subprocess.run(["make", "--quiet", "-C", str(HERE), f"OUT={out}", flags], check=True)
    return out


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: a unix socket's path may have 107 bytes.
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def host(folder: Path) -> Iterator[FakeHost]:
    with FakeHost(folder) as host:
        yield host


@pytest.fixture
def plugin(binary: Path, folder: Path, host: FakeHost) -> Iterator[PluginProcess]:
    with PluginProcess([str(binary)], folder=folder, sockets=folder) as plugin:
        yield plugin


def test_its_metadata_is_what_the_orchestrator_reads() -> None:
    document = yaml.safe_load((HERE / "plugin.yaml").read_text(encoding="utf-8"))
    info = PluginInfo.model_validate_json(json.dumps(document))

    assert (info.plugin_id, info.entry_point) == ("c-echo", "/plugin/c-echo")
    assert [tool.name for tool in info.tools] == ["echo", "sleep"]


def test_it_dials_control_first_and_then_its_calls(host: FakeHost, plugin: PluginProcess) -> None:
    host.lane("calls")
    host.lane("calls")
    time.sleep(0.2)

    assert host.upgrades == ["control", "calls", "calls"]


def test_it_dials_nothing_else_while_control_is_refused(binary: Path, folder: Path) -> None:
    with (
        FakeHost(folder, control=0) as host,
        PluginProcess([str(binary)], folder=folder, sockets=folder),
    ):
        time.sleep(0.5)

        # Refused at about 0, 50, 150, 350 ms.
        assert host.upgrades in (["control"] * 3, ["control"] * 4, ["control"] * 5)


def test_it_echoes_any_body_on_one_connection(host: FakeHost, plugin: PluginProcess) -> None:
    host.started()
    call = host.lane("calls")
    large = bytes(range(256)) * 8_192
    plain = call.ask("POST", "/v1/execute", large, {"Content-Type": "image/x"})
    call.send(b"POST /v1/execute HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Tool: echo\r\n\r\n")
    for piece in (b"3\r\n[1", b",\r\nA;x=y\r\n2, 3, 4,  \r\n2\r\n5]\r\n0\r\nT: x\r\n", b"\r\n"):
        call.send(piece)
        time.sleep(0.02)
    chunked = call.answer()
    empty = call.ask("POST", "/v1/execute")

    assert (plain.body, plain.headers["content-type"]) == (large, "image/x")
    assert (chunked.value, chunked.headers["content-type"]) == ([1, 2, 3, 4, 5], "application/json")
    assert (empty.status, empty.body) == (200, b"")


def test_it_sleeps_on_all_connections_at_once(host: FakeHost, plugin: PluginProcess) -> None:
    host.started()
    calls = [host.lane("calls"), host.lane("calls")]
    since = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda call: call.tool("sleep", seconds=0.4), calls))
    took = time.monotonic() - since

    assert [answer.value for answer in answers] == [{"slept": 0.4}] * 2
    assert 0.4 <= took < 0.75


def test_its_life_is_initialize_status_cleanup(host: FakeHost, plugin: PluginProcess) -> None:
    control, call = host.lane("control"), host.lane("calls")

    assert call.execute(1).value["code"] == "not_running"
    assert control.initialize().status == 200
    assert control.initialize().value["code"] == "already_initialized"
    assert control.ask("GET", "/v1/status").value["state"] == "ready"
    assert call.tool("other").value["code"] == "no_tool"
    assert call.tool("sleep", seconds="x").status == 422
    assert call.ask("GET", "/v1/none").status == 404
    assert control.ask("POST", "/v1/cleanup").status == 200


def test_a_call_given_up_is_noticed_and_dialled_again(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    calls = [host.lane("calls"), host.lane("calls")]
    calls[0].begin("POST", "/v1/execute", b'{"seconds": 60}', {"X-Tool": "sleep"})
    time.sleep(0.1)
    calls[0].close()

    assert host.lane("calls", seconds=1.0).execute("again").value == "again"


def test_it_finds_a_host_that_went_away_and_came_back(
    folder: Path, host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    host.lane("calls")
    host.close()
    time.sleep(0.3)
    with FakeHost(folder) as later:
        control = later.lane("control", seconds=1.5)

        assert later.upgrades[0] == "control"
        assert control.initialize().status == 409
        assert later.lane("calls").execute(7).value == 7


def test_it_dials_nothing_else_while_a_new_host_has_not_taken_control(
    host: FakeHost, plugin: PluginProcess, folder: Path
) -> None:
    host.started()
    host.lane("calls")
    host.close()
    time.sleep(0.1)
    with FakeHost(folder, control=0) as later:
        time.sleep(1.5)

        assert set(later.upgrades) == {"control"}


def test_the_events_lane_is_dialled_only_when_asked_for(binary: Path, folder: Path) -> None:
    with (
        FakeHost(folder) as host,
        PluginProcess([str(binary)], folder=folder, sockets=folder, ORCHESTRATOR_EVENTS="1"),
    ):
        host.started()

        assert host.lane("events").ask("POST", "/v1/events", b"{}").status == 200


def test_sigterm_lets_the_running_call_finish(host: FakeHost, plugin: PluginProcess) -> None:
    host.started()
    call = host.lane("calls")
    call.begin("POST", "/v1/execute", b'{"seconds": 0.3}', {"X-Tool": "sleep"})
    time.sleep(0.1)

    assert plugin.terminate() == 0
    assert call.answer().value == {"slept": 0.3}


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"POST /v1/execute HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/execute HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"x" * 17_000 + b"\r\n\r\n",
    ],
)
def test_nonsense_costs_the_connection_and_nothing_else(
    host: FakeHost, plugin: PluginProcess, head: bytes
) -> None:
    host.started()
    calls = [host.lane("calls"), host.lane("calls")]
    calls[0].send(head)

    assert calls[0].ended()
    calls[0].close()
    assert host.lane("calls").execute("fine").value == "fine"
