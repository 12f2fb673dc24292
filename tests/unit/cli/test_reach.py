"""A client finds a daemon that is on its way, and waits for no other."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.reach import LOCK_NAME, reach
from orchestrator.sandbox.listener import bind_unix

LATER = 0.3


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    """Held, as by a daemon that lives."""
    file = os.open(tmp_path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield file
    os.close(file)


@pytest.mark.usefixtures("lock")
def test_a_daemon_that_has_its_lock_and_does_not_listen_yet_is_waited_for(tmp_path: Path) -> None:
    path, made = tmp_path / "daemon.sock", []
    timer = threading.Timer(LATER, lambda: made.append(bind_unix(path, mode=0o600)))
    timer.start()
    with reach(path, 5) as found:
        peer = found.getpeername()
    timer.join()
    made[0].close()

    assert peer.endswith("daemon.sock")


def test_the_waiting_ends_with_the_daemon(tmp_path: Path, lock: int) -> None:
    timer = threading.Timer(LATER, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
    timer.start()
    began = time.monotonic()
    with pytest.raises(FileNotFoundError):
        reach(tmp_path / "daemon.sock", 5)
    took = time.monotonic() - began
    timer.join()

    assert took >= LATER * 0.9


def test_without_a_lock_nobody_comes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reach(tmp_path / "daemon.sock", 5)


def test_what_a_killed_daemon_left_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).touch()
    bind_unix(tmp_path / "daemon.sock", mode=0o600).close()
    with pytest.raises(ConnectionRefusedError):
        reach(tmp_path / "daemon.sock", 5)
