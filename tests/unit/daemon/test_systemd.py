"""What systemd's variables mean; the whole of it is tried in tests/daemon."""

import asyncio
import socket
from pathlib import Path

import pytest

from orchestrator.daemon.settings import InvalidSetting
from orchestrator.daemon.systemd import Supervisor, handed_socket, supervisor_from

PID = 4711


def test_nobody_supervises_unless_the_variables_say_so() -> None:
    supervisor = supervisor_from({"PATH": "/bin"}, pid=PID)

    assert supervisor == Supervisor()
    assert supervisor.name == ""
    supervisor.notify("READY=1")  # into the air


def test_sockets_for_another_process_are_not_ours() -> None:
    given = {"LISTEN_FDS": "2", "LISTEN_PID": str(PID)}

    assert supervisor_from(dict(given), pid=PID).descriptors == (3, 4)
    assert supervisor_from(dict(given), pid=PID + 1).descriptors == ()


def test_the_variables_are_not_left_for_children() -> None:
    environment = {
        "LISTEN_FDS": "1",
        "LISTEN_PID": str(PID),
        "LISTEN_FDNAMES": "a",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "30000000",
        "PATH": "/bin",
    }
    supervisor = supervisor_from(environment, pid=PID)

    assert environment == {"PATH": "/bin"}
    assert supervisor.watchdog_seconds == 30
    assert supervisor.name == "systemd"


@pytest.mark.parametrize("name", ["LISTEN_FDS", "WATCHDOG_USEC"])
def test_a_number_that_is_none_is_named(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name}: found 'many'"):
        supervisor_from({"LISTEN_PID": str(PID), name: "many"}, pid=PID)


def test_a_notification_reaches_an_abstract_address_as_well() -> None:
    address = f"orchestrator-test-{id(object())}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{address}")
        ear.settimeout(5)
        Supervisor(notify_address=f"@{address}").notify("READY=1", "STATUS=well")

        assert ear.recv(100) == b"READY=1\nSTATUS=well"


def test_a_supervisor_that_went_away_is_no_reason_to_fail(tmp_path: Path) -> None:
    Supervisor(notify_address=str(tmp_path / "nobody")).notify("READY=1")


async def test_without_a_watchdog_nothing_is_told() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Supervisor().keep_watch()


def test_a_socket_that_does_not_listen_is_not_the_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        with pytest.raises(InvalidSetting, match="expected a listening one"):
            handed_socket((sock.fileno(),), path)
        sock.listen(1)
        found = handed_socket((sock.fileno(),), path)
        assert found is not None
        assert found.detach() == sock.fileno()
