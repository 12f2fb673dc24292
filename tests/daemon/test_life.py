"""The daemon's start, end and succession, and what systemd is told of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from orchestrator.client.client import DaemonNotRunning
from tests.daemon.conftest import House
from tests.support.instance import eventually

STATUS = b"GET /v1/status HTTP/1.1\r\nHost: o\r\n\r\n"


def _pid_of(answer: bytes) -> int:
    pid: int = json.loads(answer.partition(b"\r\n\r\n")[2])["pid"]
    return pid


def _read(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65_536):
        data += piece
    return data


def test_sigterm_ends_the_daemon_in_order(house: House) -> None:
    daemon = house.up()
    daemon.terminate()

    assert daemon.wait(60) == 0
    assert "ends; its plugins run on" in house.log()
    assert not house.path.exists()


def test_no_caller_finds_the_socket_shut_while_one_daemon_follows_another(house: House) -> None:
    first = house.up()
    stop, pids, failures = threading.Event(), set[int](), list[str]()

    def ask() -> None:
        while not stop.is_set():
            try:
                with house.connect() as sock:
                    sock.sendall(STATUS)
                    pids.add(_pid_of(_read(sock)))
            except (OSError, ValueError) as error:
                failures.append(repr(error))

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    second = house.start("--follow")
    code = first.wait(60)
    eventually(lambda: second.pid in pids, seconds=60)
    stop.set()
    for caller in callers:
        caller.join()

    assert (code, failures) == (0, [])
    assert pids == {first.pid, second.pid}
    assert house.pid() == second.pid


def test_a_daemon_that_follows_nobody_just_starts(house: House) -> None:
    daemon = house.up("--follow")

    assert house.pid() == daemon.pid


def test_a_second_daemon_is_refused_while_one_runs(house: House) -> None:
    first = house.up()
    second = house.start()
    _, err = second.communicate(timeout=60)

    assert second.returncode == 1
    assert b"a daemon of instance 'default' runs already" in err
    assert house.pid() == first.pid


def test_what_a_killed_daemon_left_is_no_hindrance(house: House) -> None:
    killed = house.up()
    killed.kill()
    killed.wait()

    assert house.path.exists()
    assert house.pid() == 0
    assert house.up().pid == house.pid()


def test_a_client_waits_for_a_daemon_that_is_on_its_way(house: House) -> None:
    daemon = house.start()
    eventually((house.state / "daemon.lock").exists, every=0.001, seconds=60)
    eventually(lambda: (house.state / "daemon.lock").read_text() != "", every=0.001, seconds=60)

    assert house.client.status()["pid"] == daemon.pid


def test_a_client_waits_for_nobody_where_no_daemon_comes(house: House) -> None:
    daemon = house.up()
    daemon.terminate()
    daemon.wait(60)
    try:
        house.client.status()
    except DaemonNotRunning as error:
        said = str(error)

    assert "no daemon answers" in said


# -- systemd ----------------------------------------------------------------------------------


def test_a_socket_that_was_handed_over_outlives_the_daemon_and_callers_wait_in_it(
    house: House,
) -> None:
    with house.listen() as handed:
        first = house.start(handed=handed)
        with house.connect() as sock:
            sock.sendall(STATUS)
            before = _pid_of(_read(sock))
        first.terminate()
        code = first.wait(60)
        with house.connect() as waiting:
            waiting.sendall(STATUS)
            second = house.start(handed=handed)
            after = _pid_of(_read(waiting))
        supervisor = house.client.status()["supervisor"]

    assert (before, code, after) == (first.pid, 0, second.pid)
    assert supervisor == "systemd"
    assert house.path.exists()


def test_a_socket_from_elsewhere_is_refused(house: House) -> None:
    with house.listen("other.sock") as handed:
        daemon = house.start(handed=handed)
        _, err = daemon.communicate(timeout=60)

    assert daemon.returncode == 1
    assert f"expected a listening one at {house.path}" in err.decode()


def test_systemd_is_told_when_the_daemon_is_ready_lives_and_ends(house: House) -> None:
    address = house.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(os.path.relpath(address))
        ear.settimeout(60)
        house.variables = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        daemon = house.start()
        heard = [ear.recv(4096) for _ in range(4)]
        answers = house.client.status()
        daemon.terminate()
        code = daemon.wait(60)
        ear.setblocking(False)  # noqa: FBT003 - the socket API's own
        last = _all(ear)

    assert min(heard).startswith(b"READY=1\nSTATUS=version ")
    assert heard.count(b"WATCHDOG=1") == 3
    assert answers["supervisor"] == "systemd"
    assert code == 0
    assert b"STOPPING=1" in last


def _all(ear: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(ear.recv(4096))
    except BlockingIOError:
        return found


# -- commands ---------------------------------------------------------------------------------


def test_the_commands_start_show_restart_and_stop_the_daemon(house: House) -> None:
    started = house.orchestrator("daemon", "start")
    first = house.pid()
    again = house.orchestrator("daemon", "start")
    shown = house.orchestrator("daemon", "status", "--json")
    restarted = house.orchestrator("daemon", "restart")
    second = house.pid()
    stopped = house.orchestrator("daemon", "stop")
    gone = house.orchestrator("daemon", "status")

    assert f"the daemon is started (pid {first}" in started.stdout
    assert "runs already" in again.stdout
    assert json.loads(shown.stdout)["pid"] == first
    assert f"pid {first}, version" in restarted.stdout
    assert f"→ pid {second}, version" in restarted.stdout
    assert first != second
    assert stopped.returncode == 0
    assert (gone.returncode, house.pid()) == (69, 0)


def test_a_daemon_that_systemd_looks_after_is_stopped_there(house: House) -> None:
    house.variables = {"NOTIFY_SOCKET": str(house.folder / "nobody")}
    daemon = house.up()
    house.variables = {}
    done = house.orchestrator("daemon", "stop")

    assert done.returncode == 73
    assert "[daemon_supervised]" in done.stderr
    assert "systemctl stop orchestrator@default.socket orchestrator@default" in done.stderr
    assert house.pid() == daemon.pid


def test_daemon_run_is_the_daemon_itself_and_logs_where_it_is_watched(house: House) -> None:

    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "daemon", "run"],
        env=house.environment(),
        stderr=subprocess.PIPE,
    )
    house.processes.append(process)
    eventually(lambda: house.pid() == process.pid, seconds=60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert b"is up, pid" in err


def test_the_lock_tells_who_runs(house: House) -> None:
    daemon = house.up()

    assert Path(house.state / "daemon.lock").read_text() == str(daemon.pid)
