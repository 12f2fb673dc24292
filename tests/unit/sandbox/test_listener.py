"""Sockets: where they lie, who may use them, and what a killed daemon left there."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.sandbox.listener import PLUGIN_SOCKET, SandboxListener, bind_unix
from tests.unit.sandbox.house import open_files


def _deep(folder: Path) -> Path:
    """A folder whose sockets have longer addresses than the kernel takes."""
    deep = folder.joinpath(*["a-folder-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    return deep


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def _client(path: Path) -> Iterator[socket.socket]:
    """Connected to a socket at any depth, as a container is: by a short way."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
            yield client
    finally:
        os.close(folder)


def _accepts(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_socket_at_any_depth_is_reached_and_has_its_mode(tmp_path: Path, mode: int) -> None:
    path = _deep(tmp_path) / "api.sock"
    umask = os.umask(0o077)
    try:
        with bind_unix(path, mode=mode) as listener, _client(path):
            reached, actual = _accepts(listener), _mode(path)
    finally:
        os.umask(umask)

    assert len(str(path)) > 108
    assert reached
    assert actual == mode
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_binding_changes_no_umask_and_leaves_no_file_open(tmp_path: Path) -> None:
    before = os.umask(0o022)
    files = open_files()
    bind_unix(tmp_path / "a.sock", mode=0o600).close()

    assert os.umask(before) == 0o022
    assert open_files() == files


@pytest.mark.parametrize("left", ["socket", "file", "link"])
def test_what_a_killed_daemon_left_is_replaced(tmp_path: Path, left: str) -> None:
    path, other = tmp_path / "api.sock", tmp_path / "other"
    other.write_text("mine")
    other.chmod(0o640)
    if left == "socket":
        bind_unix(path, mode=0o600).close()
    elif left == "file":
        path.write_text("")
    else:
        path.symlink_to(other)
    with bind_unix(path, mode=0o666) as listener, _client(path):
        reached = _accepts(listener)

    assert reached
    assert (other.read_text(), _mode(other)) == ("mine", 0o640)


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    files = open_files()
    with pytest.raises(FileNotFoundError):
        bind_unix(tmp_path / "none" / "api.sock", mode=0o600)
    with pytest.raises(OSError, match="too long"):
        bind_unix(tmp_path / ("a" * 120), mode=0o600)
    (tmp_path / "api.sock").mkdir()
    with pytest.raises(OSError, match="directory"):
        bind_unix(tmp_path / "api.sock", mode=0o600)

    assert open_files() == files


async def test_the_plugins_folder_and_socket_are_open_to_the_plugins_user(tmp_path: Path) -> None:
    folder = _deep(tmp_path) / "sockets"
    umask = os.umask(0o077)
    try:
        listener = await SandboxListener.open(folder, asyncio.Protocol)
    finally:
        os.umask(umask)
    modes = _mode(folder), _mode(folder / PLUGIN_SOCKET)
    with _client(folder / PLUGIN_SOCKET):
        await asyncio.sleep(0.01)
    listener.remove()
    await asyncio.sleep(0.01)

    assert modes == (0o755, 0o666)
    assert not folder.exists()


async def test_a_closed_listener_leaves_its_folder_to_the_next_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    first = await SandboxListener.open(folder, asyncio.Protocol)
    inode = folder.stat().st_ino
    first.close()
    await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError), _client(folder / PLUGIN_SOCKET):
        pass
    second = await SandboxListener.open(folder, asyncio.Protocol)
    with _client(folder / PLUGIN_SOCKET):
        pass
    same = folder.stat().st_ino == inode  # a container has the folder mounted, not its name
    second.remove()

    assert same
