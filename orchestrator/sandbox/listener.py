"""SandboxListener: the folder and socket where one plugin dials in.

The folder is mounted read-only into the container, so the plugin can connect and nothing else.
Unix socket addresses end at 107 bytes; the socket is bound through the folder's file descriptor,
so that folders of any depth will do.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

PLUGIN_SOCKET: Final = "plugin.sock"


def bind_unix(path: Path, *, mode: int) -> socket.socket:
    """A listening unix socket at `path`, replacing what a killed daemon left there."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{folder}/{path.name}"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o177)
            try:
                listener.bind(short)
            finally:
                os.umask(before)
            path.chmod(mode)
            listener.listen(128)
            listener.setblocking(False)  # noqa: FBT003 - the socket API's own
        except BaseException:
            listener.close()
            raise
    finally:
        os.close(folder)
    return listener


def _make_socket(folder: Path) -> socket.socket:
    folder.mkdir(parents=True, exist_ok=True)
    # The container's user must pass the folder and write to the socket; the instance's home
    # above them is 0700, so that nobody else on the host gets this far.
    folder.chmod(0o755)
    return bind_unix(folder / PLUGIN_SOCKET, mode=0o666)


class SandboxListener:
    """Open from before the container starts until it is gone."""

    def __init__(self, folder: Path, server: asyncio.AbstractServer) -> None:
        self._folder = folder
        self._server = server

    @classmethod
    async def open(
        cls, folder: Path, connection: Callable[[], asyncio.Protocol]
    ) -> "SandboxListener":
        """Listen at folder/plugin.sock; `folder` is made if need be."""
        sock = _make_socket(folder)
        server = await asyncio.get_running_loop().create_unix_server(connection, sock=sock)
        return cls(folder, server)

    def close(self) -> None:
        """Stop listening; connections that exist go on."""
        self._server.close()

    def remove(self) -> None:
        """Stop listening and take the folder away."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
