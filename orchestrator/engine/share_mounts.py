"""ShareMounts: the operator's writable folders as mounts from which nothing can be executed.

The engine's API has no noexec for a bind, but a bind keeps the options of what it binds. So this
process mounts the folder with them, for the moment in which the engine starts the container, and
the container's own mount outlives that. What a killed daemon left is taken away at the next use.
"""

import asyncio
import ctypes
import hashlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from orchestrator.engine.base import StartRefused
from orchestrator.engine.docker_host import sees_mount
from orchestrator.model.container import ShareMount

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 2, 4, 8, 32, 4_096
_HARMLESS: Final = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_MNT_DETACH: Final = 2


class ShareMounts:
    """Mounts for the engine at `address`, in `root`: a folder of one daemon alone, below /run."""

    def __init__(self, root: Path | None = None, *, address: str) -> None:
        self._root = root or Path(f"/run/orchestrator/shares-{os.getpid()}")
        self._address = address
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._obstacle: str | None = None
        self._one = asyncio.Lock()

    async def obstacle(self) -> str:
        """Why it cannot be done here, by trying it once; empty if it can."""
        async with self._one:
            if self._obstacle is None:
                self._obstacle = await asyncio.to_thread(self._try)
            return self._obstacle

    @asynccontextmanager
    async def mounted(self, shares: Collection[ShareMount]) -> AsyncIterator[Mapping[str, str]]:
        """Where the engine finds each writable folder meanwhile; nothing where it cannot be done.

        Raises StartRefused when a folder's path now has a link in it.
        """
        if self._address.startswith("unix://"):
            for share in shares:
                os.close(await asyncio.to_thread(_open, share.source))
        sources = sorted({share.source for share in shares if not share.read_only})
        if not sources or await self.obstacle():
            yield {}
            return
        async with AsyncExitStack() as stack:
            for source in sources:
                # One mount for each folder at a time: two would lie on one another.
                await stack.enter_async_context(self._locks[source])
                place = self.place(source)
                stack.callback(_unmount, place)
                await asyncio.to_thread(_mount, source, place)
            yield {source: str(self.place(source)) for source in sources}

    def close(self) -> None:
        """Take the empty folder away."""
        with suppress(OSError):
            self._root.rmdir()

    def place(self, source: str) -> Path:
        """Where that folder is mounted."""
        return self._root / hashlib.sha256(source.encode()).hexdigest()[:16]

    def _try(self) -> str:
        if not self._address.startswith("unix://"):
            return "the engine is remote"
        if os.geteuid() != 0:
            return "only root can mount"
        place = self.place(f"tried by {os.getpid()}")
        try:
            _mount("/", place)
            seen = sees_mount(self._address, place)
        except (OSError, StartRefused) as error:
            return f"this process cannot mount: {error}"
        finally:
            _unmount(place)
        return "" if seen else "the engine does not see this process's mounts"


def _mount(source: str, place: Path) -> None:
    _unmount(place)
    place.mkdir(mode=0o700, parents=True)
    folder = _open(source)
    try:
        _call(f"/proc/self/fd/{folder}", place, _MS_BIND)
    finally:
        os.close(folder)
    _call("none", place, _MS_BIND | _MS_REMOUNT | _HARMLESS)


def _unmount(place: Path) -> None:
    """All that lies there, and the place itself; never what is in the folder."""
    if not place.is_dir():
        return
    while _LIBC.umount2(os.fsencode(place), _MNT_DETACH) == 0:
        pass
    with suppress(OSError):
        place.rmdir()


def _open(path: str) -> int:
    """The folder, come to without following a link. Raises StartRefused.

    Its real path was looked up when it was wanted; a plugin that may write above it could have put
    a link in its place since.
    """
    here = os.open("/", os.O_PATH)
    for name in Path(path).parts[1:]:
        try:
            there = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        except OSError as error:
            raise StartRefused(
                f"Share {path}: found {name!r} ({error.strerror}), expected a folder and no link"
            ) from error
        finally:
            os.close(here)
        here = there
    return here


_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(source: str, place: Path, flags: int) -> None:
    if _LIBC.mount(os.fsencode(source), os.fsencode(place), None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(place))
