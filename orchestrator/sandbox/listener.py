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


def make_folder(folder: Path) -> None:
    """The folder that is mounted into the container.

    The container's user must pass it and write to the socket in it; the instance's home above is
    0700, so that nobody else on the host gets this far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)


def _make_socket(folder: Path) -> socket.socket:
    make_folder(folder)
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
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(connection, sock=sock, start_serving=False)
        try:
            await server.start_serving()
        except BaseException:  # cut off: nobody else knows of it
            server.close()
            raise
        return cls(folder, server)

    def close(self) -> None:
        """Stop listening; connections that exist go on."""
        self._server.close()

    def remove(self) -> None:
        """Stop listening and take the folder away."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
