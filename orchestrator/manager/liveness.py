"""Liveness: whether the instance that made something still exists. In doubt it does.

What an instance makes carries the path of its state folder, and a mark of the machine, of the root
and of the disk on which that path is meant. So a folder that is merely not to be seen from here is
told from one that is gone: it lies in another container's root, on another machine of the same
engine, on a disk that is not mounted now.
"""

import contextlib
import hashlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from orchestrator.engine.base import LABEL_FOLDER, LABEL_HOST, LABEL_INSTANCE, LABEL_OWNER

_MACHINE_ID: Final = Path("/etc/machine-id")
_MARK_CHARACTERS: Final = 16
_OWNER_CHARACTERS: Final = 8


class Life(StrEnum):
    """What can be told of an instance from here."""

    LIVE = "live"
    """Its daemon runs."""
    IDLE = "idle"
    """Its state folder is there, and no daemon runs: its plugins run on until one does."""
    GONE = "gone"
    """Its state folder was here and is no more, and no daemon runs."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Maker:
    """The instance that made something, by its labels."""

    owner: str
    instance: str
    folder: str
    host: str

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> "Maker | None":
        """None where the labels do not say all of it."""
        names = (LABEL_OWNER, LABEL_INSTANCE, LABEL_FOLDER, LABEL_HOST)
        owner, instance, folder, host = (labels.get(name, "") for name in names)
        if not (owner and instance and folder and host):
            return None
        return cls(owner=owner, instance=instance, folder=folder, host=host)

    @property
    def labels(self) -> dict[str, str]:
        return {
            LABEL_OWNER: self.owner,
            LABEL_INSTANCE: self.instance,
            LABEL_FOLDER: self.folder,
            LABEL_HOST: self.host,
        }


def owner_of(folder: Path) -> str:
    """Short hash of a state folder: part of the names and labels of what the instance makes."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:_OWNER_CHARACTERS]


def marks(folder: Path) -> dict[str, str]:
    """The labels that let others tell whether the instance of that folder still exists."""
    return {LABEL_FOLDER: str(folder), LABEL_HOST: host_mark(folder)}


def host_mark(folder: Path) -> str:
    """The same for two processes only if both mean the same place by the folder's path.

    Raises OSError where a link on the way leads nowhere.
    """
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine = ""
    root, disk = Path("/").stat(), _nearest(folder).stat()
    place = (machine, socket.gethostname(), root.st_dev, root.st_ino, disk.st_dev)
    return hashlib.sha256(repr(place).encode()).hexdigest()[:_MARK_CHARACTERS]


def life_of(maker: Maker) -> Life:
    """Looks at the state folder; never raises."""
    folder = Path(maker.folder)
    if not folder.is_absolute() or owner_of(folder) != maker.owner or folder.name != maker.instance:
        return Life.UNKNOWN
    if _daemon_runs(maker.owner):
        return Life.LIVE
    try:
        if host_mark(folder) != maker.host:
            return Life.UNKNOWN
        return Life.IDLE if _nearest(folder) == folder else Life.GONE
    except OSError:  # also of a link into a disk that is not mounted now
        return Life.UNKNOWN


@contextlib.contextmanager
def announced(owner: str) -> Iterator[None]:
    """While inside, others of this machine find the daemon alive, though its folder were gone.

    By a socket without a file: the kernel takes it away with the process, and only then.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as presence:
        # Should somebody else hold the name, others find the daemon alive all the same.
        with contextlib.suppress(OSError):
            presence.bind(_presence(owner))
        yield


def _daemon_runs(owner: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_presence(owner))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # in doubt
    return True


def _presence(owner: str) -> str:
    return f"\0orchestrator-daemon-{owner}"


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there. Raises OSError where it is hidden."""
    for path in (folder, *folder.parents):
        try:
            path.lstat()
        except FileNotFoundError:
            continue
        return path
    return Path("/")
