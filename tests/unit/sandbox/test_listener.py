"""Sockets: where they lie, who may use them, and what a killed daemon left there."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from orchestrator.sandbox.listener import PLUGIN_SOCKET, SandboxListener, bind_unix


def _deep(folder: Path) -> Path:
    """A folder whose sockets have longer addresses than the kernel takes."""
    deep = folder.joinpath(*["a-folder-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    return deep


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _answers(listener: socket.socket, path: Path, deep: Path) -> bool:
    """Whether a client that reaches the socket over its folder reaches this listener."""
    with socket.socket(socket.AF_UNIX) as client:
        short = deep.parent / "s"
        short.symlink_to(path.parent, target_is_directory=True)
        relative = short / path.name
        with contextlib_chdir(short):
            client.connect(path.name)
        listener.setblocking(True)
        listener.settimeout(1)
        with listener.accept()[0]:
            return relative.exists()
