"""LoopDisks: files that are ext4 disks of an exact size, attached to loop devices.

A kill at any moment leaves nothing that the next `ensure` does not put right: a disk gets its
name when it is whole, growing can be done twice, and shrinking happens on a copy.
"""

import asyncio
import os
import re
import shutil
import struct
from collections import defaultdict
from pathlib import Path

from orchestrator.engine.base import DiskFull, EngineFailure
from orchestrator.engine.command import run_command
from orchestrator.model.container import PLUGIN_UID

BLOCK_BYTES = 4_096
RELEASE_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_JOURNAL_FROM_BYTES = 32 << 20  # the smallest journal has 4 MiB: too much for a smaller disk
_TIMEOUT_SECONDS = 120
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_PROGRAMS = ("mkfs.ext4", "e2fsck", "resize2fs", "debugfs", "losetup", "cp")
_E2FSCK_REPAIRED = 1
_SAFE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_SUPERBLOCK = struct.Struct("<4xI16xI28xH")  # blocks, log2(block size / 1024), magic
_SUPERBLOCK_OFFSET, _MAGIC = 1_024, 0xEF53


def obstacle() -> str | None:
    """Why this process cannot make loop disks, or None."""
    if os.geteuid() != 0:
        return "only root can attach loop devices"
    if not Path("/dev/loop-control").exists():
        return "there is no /dev/loop-control"
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    return f"these programs are missing: {', '.join(missing)}" if missing else None


class LoopDisks:
    """Disks in `folder`; each appears as a link in `links` to its loop device of the day.

    `links` must be emptied by a reboot (a folder below /run): loop devices are numbered anew then,
    and a container started on a stale link would be given another plugin's data.
    """

    def __init__(self, folder: Path, *, links: Path) -> None:
        self._folder, self._links = folder, links
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, name: str, size_bytes: int) -> Path:
        """Make the disk, or give it its size, and attach it; the link to its device.

        Raises DiskFull, and EngineFailure when it cannot shrink that far.
        """
        size = size_bytes // BLOCK_BYTES * BLOCK_BYTES
        image = self._image(name)
        async with self._locks[name]:
            if not image.exists():
                await self._make(image, size)
            elif _file_system_bytes(image) != size or image.stat().st_size != size:
                await self._resize(image, size)
            device = await _attached(image) or await _attach(image)
            return _link(self._links / name, device)

    async def remove(self, name: str) -> None:
        """Detach and delete it; quiet if there is none. Raises EngineFailure if it is mounted."""
        image = self._image(name)
        async with self._locks[name]:
            if image.exists():
                await _detach(image)
            for path in (self._links / name, image, _draft(image)):
                path.unlink(missing_ok=True)

    def names(self, prefix: str) -> set[str]:
        """Disks whose names begin so, half made ones too."""
        return {path.name.partition(".")[0] for path in self._folder.glob(f"{prefix}*")}

    def _image(self, name: str) -> Path:
        if not _SAFE_NAME.fullmatch(name):
            raise EngineFailure(f"{name!r} names no volume; expected {_SAFE_NAME.pattern}")
        return self._folder / f"{name}.img"

    async def _make(self, image: Path, size: int) -> None:
        draft = _draft(image)
        _reserve(draft, size)
        owner = f"root_owner={PLUGIN_UID}:{PLUGIN_UID},nodiscard"
        journal = ["-J", "size=4"] if size >= _JOURNAL_FROM_BYTES else ["-O", "^has_journal"]
        shape = ["-b", str(BLOCK_BYTES), "-i", str(2 * BLOCK_BYTES), "-m", "0"]
        await _run("mkfs.ext4", "-q", "-F", *shape, *journal, "-E", owner, str(draft))
        # /data starts empty, and lost+found could not be read by the plugin anyhow.
        await _run("debugfs", "-w", "-R", "rmdir lost+found", str(draft))
        await asyncio.to_thread(_publish, draft, image)

    async def _resize(self, image: Path, size: int) -> None:
        if size < _file_system_bytes(image):
            await self._shrink(image, size)
            return
        device = await _unmounted(image)
        _reserve(image, size)
        if device is not None:
            await _run("losetup", "--set-capacity", device)
        disk = device or str(image)
        await _check(disk, "-f")
        await _run("resize2fs", disk)

    async def _shrink(self, image: Path, size: int) -> None:
        await _detach(image)
        draft = _draft(image)
        await _run("cp", "--sparse=always", "--reflink=auto", str(image), str(draft))
        await _check(str(draft), "-f")
        try:
            await _run("resize2fs", str(draft), f"{size // 1024}K")
        except EngineFailure as error:
            draft.unlink()
            raise EngineFailure(
                f"Volume {image.stem} cannot shrink to {size} bytes, what it holds does not fit"
                f" ({error})"
            ) from error
        os.truncate(draft, size)
        await asyncio.to_thread(_publish, draft, image)


def _draft(image: Path) -> Path:
    return image.with_suffix(".new")


def _reserve(path: Path, size: int) -> None:
    """Give the file its length, sparse, when the host's disk could hold it in full."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    there = path.stat().st_blocks * 512 if path.exists() else 0
    if free < size - there:
        raise DiskFull(
            f"{path.parent} has {free} bytes free; expected {size - there} for volume {path.stem}"
        )
    with path.open("ab") as file:
        os.fchmod(file.fileno(), 0o600)
        file.truncate(size)


def _publish(draft: Path, image: Path) -> None:
    """The draft takes the image's name, in one step and only with its content on the disk."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(image)


def _link(link: Path, device: str) -> Path:
    if link.is_symlink() and str(link.readlink()) == device:
        return link
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = link.with_name(f".{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(device)
    return draft.replace(link)


def _file_system_bytes(image: Path) -> int:
    """What the file system believes to own, from its superblock; 0 if there is none."""
    with image.open("rb") as file:
        file.seek(_SUPERBLOCK_OFFSET)
        blocks, shift, magic = _SUPERBLOCK.unpack(file.read(_SUPERBLOCK.size).ljust(58, b"\0"))
    return int(blocks << (10 + shift)) if magic == _MAGIC else 0


def _mounted(device: str) -> bool:
    """In any mount namespace: the kernel gives an exclusive opening to nobody else then."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return True
    return False


async def _attached(image: Path) -> str | None:
    listing = ("--noheadings", "--output", "NAME")
    return await _run("losetup", "--associated", str(image), *listing) or None


async def _attach(image: Path) -> str:
    await _check(str(image))
    return await _run("losetup", "--find", "--show", str(image))


async def _released(device: str) -> bool:
    """Whether nobody has it mounted, now or soon.

    The kernel lets go of a mount some time after its last process is gone, and a container that is
    just being made may hold a copy of all the engine's mounts for a moment.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + RELEASE_SECONDS
    while _mounted(device):
        if loop.time() > until:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True


async def _unmounted(image: Path) -> str | None:
    """Its loop device, if it has one, free to be changed.

    Growing a mounted disk takes CAP_SYS_RESOURCE, which root in a container often lacks.
    """
    device = await _attached(image)
    if device is not None and not await _released(device):
        raise EngineFailure(
            f"Volume {image.stem} is mounted ({device}); expected its container to be stopped"
        )
    return device


async def _detach(image: Path) -> None:
    device = await _unmounted(image)
    if device is not None:
        await _run("losetup", "--detach", device)


async def _check(disk: str, *options: str) -> None:
    await _run("e2fsck", "-p", *options, disk, fine=_E2FSCK_REPAIRED)


async def _run(program: str, *arguments: str, fine: int = 0) -> str:
    """The last line of its output. Raises EngineFailure for an exit code above `fine`."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise EngineFailure(f"{program} is missing; expected it in {_PATH}")
    result = await run_command(
        [path, *arguments],
        folder=Path("/"),
        timeout_seconds=_TIMEOUT_SECONDS,
        on_line=lambda _: None,
    )
    words = "; ".join(result.last_lines)
    if "No space left on device" in words:
        raise DiskFull(f"{program}: {words}")
    if result.exit_code is None or result.exit_code > fine:
        raise EngineFailure(f"{program} failed: {words or f'exit code {result.exit_code}'}")
    return result.last_stdout_line


async def detach_below(folder: Path) -> int:
    """Detach the loop devices whose files lay in `folder` and are gone; how many there were.

    One that is still mounted stays.
    """
    count = 0
    for device in await asyncio.to_thread(_devices_of_lost_files, folder):
        if await _released(device):
            await _run("losetup", "--detach", device)
            count += 1
    return count


def _devices_of_lost_files(folder: Path) -> list[str]:
    found = []
    for path in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        try:
            file = path.read_text(encoding="utf-8").strip()
        except OSError:  # detached by somebody meanwhile
            continue
        if file.startswith(f"{folder}/") and not Path(file).exists():
            found.append(f"/dev/{path.parts[3]}")
    return found
