"""TreeEntry: what a commit says it holds, and what of it may get onto this machine. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import Kind, OrchestratorError

FOLDER, FILE, PROGRAM, LINK, SUBMODULE = "040000", "100644", "100755", "120000", "160000"
_MAX_PATH: Final = 1_024
_MAX_NAME: Final = 255
_MAX_DEPTH: Final = 64
_MAX_LINK: Final = 1_024
_BLOCK_BYTES: Final = 4_096


class GitTreeRefused(OrchestratorError):
    """A commit holds what must not get onto this machine: a name, a link, too much of all."""

    kind, code = Kind.INVALID, "git_tree_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeBounds:
    """How much a commit may hold."""

    max_files: int = 10_000
    max_bytes: int = 256 << 20
    all_bytes: int = 1 << 30
    """All trees together, as a disk counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One row of a commit's listing."""

    path: str
    mode: str
    sha: str
    size_bytes: int


def parse_listing(listing: bytes) -> list[TreeEntry]:
    """What `git ls-tree -r -t -l -z` says. Raises GitTreeRefused for a name that is no text."""
    return [_entry(row) for row in listing.split(b"\0") if row]


def check_entries(sha: str, entries: Sequence[TreeEntry], bounds: TreeBounds) -> None:
    """Raises GitTreeRefused, naming the first thing that may not be."""
    if len(entries) > bounds.max_files:
        raise GitTreeRefused(
            f"commit {sha}: found {len(entries)} files and folders (the last is "
            f"{entries[-1].path!r}), expected at most {bounds.max_files} (git.max_files)"
        )
    size = sum(entry.size_bytes for entry in entries)
    if size > bounds.max_bytes:
        raise GitTreeRefused(
            f"commit {sha}: found {size} bytes (the largest file is {_largest(entries)!r}), "
            f"expected at most {bounds.max_bytes} (git.max_mb)"
        )
    for entry in entries:
        reason = _wrong(entry)
        if reason:
            raise GitTreeRefused(f"commit {sha}: {entry.path!r}: found {reason}")
    paths = [entry.path for entry in entries]
    if len({*paths}) != len(paths):
        raise GitTreeRefused(f"commit {sha}: found one name twice, expected each once")


def _wrong(entry: TreeEntry) -> str:
    """Why an entry may not be written; empty if it may."""
    parts = entry.path.split("/")
    if entry.mode not in {FOLDER, FILE, PROGRAM, LINK, SUBMODULE}:
        return f"the mode {entry.mode}, expected a file, a folder or a link"
    if len(entry.path.encode()) > _MAX_PATH or len(parts) > _MAX_DEPTH:
        return "too long or too deep a name"
    if entry.mode == LINK and entry.size_bytes > _MAX_LINK:
        return "too long a link"
    return next((reason for reason in map(_wrong_name, parts) if reason), "")


def _wrong_name(name: str) -> str:
    if name in {"", ".", ".."} or len(name.encode()) > _MAX_NAME:
        return "a name that leads elsewhere or is too long"
    if _is_git(name):
        return "a name that git itself uses"
    if not name.isprintable() or "\\" in name:
        return "a control character or a backslash in a name"
    return ""


def _is_git(name: str) -> bool:
    """`.git` on any file system: case, trailing dots and blanks, the short name of DOS."""
    plain = name.casefold().rstrip(". ").partition(":")[0]
    return plain == ".git" or plain.startswith("git~")


def _entry(row: bytes) -> TreeEntry:
    head, _, name = row.partition(b"\t")
    try:
        mode, _, sha, size = head.decode("ascii").split()
        path = name.decode("utf-8")
    except ValueError as error:
        raise GitTreeRefused(f"found the name {name!r}, expected UTF-8") from error
    return TreeEntry(path=path, mode=mode, sha=sha, size_bytes=int(size) if size != "-" else 0)


def disk_bytes(sizes: Sequence[int]) -> int:
    """What files of these sizes take of a disk: whole blocks, and one for each that is empty."""
    return sum(max(1, -(-size // _BLOCK_BYTES)) for size in sizes) * _BLOCK_BYTES


def _largest(entries: Sequence[TreeEntry]) -> str:
    return max(entries, key=lambda entry: entry.size_bytes).path
