"""GitTree: the files of one commit, written by ourselves into a folder of their own.

The repository is hostile. Each name is checked before anything is written, everything is written
below a folder that nobody else knows yet, links come last and must lead to something inside, and
the whole is bounded in files and bytes before the first byte is read.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.git import GitFailed, GitOutputTooLarge
from orchestrator.gitops.repository import GitRepository

_BATCH_BYTES: Final = 16 << 20
_ROW_BYTES: Final = 400
_MAX_PATH: Final = 1_024
_MAX_NAME: Final = 255
_MAX_DEPTH: Final = 64
_MAX_LINK: Final = 1_024
_LFS_HEAD: Final = b"version https://git-lfs.github.com/spec/"
_FOLDER, _FILE, _PROGRAM, _LINK, _SUBMODULE = "040000", "100644", "100755", "120000", "160000"


class GitUnwritable(OrchestratorError):
    """The files of a commit cannot be written: a full disk, say."""

    kind, code = Kind.EXHAUSTED, "git_unwritable"


class GitTreeRefused(OrchestratorError):
    """A commit holds what must not get onto this machine: a name, a link, too much of all."""

    kind, code = Kind.INVALID, "git_tree_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeBounds:
    """How much a commit may hold."""

    max_files: int = 10_000
    max_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One row of a commit's listing."""

    path: str
    mode: str
    sha: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GitTree:
    """A commit's files on disk."""

    sha: str
    folder: Path
    submodules: tuple[str, ...] = ()
    """Left out."""
    lfs_pointers: tuple[str, ...] = ()
    """Files whose content is elsewhere (Git LFS): here they are what git holds, a few lines."""


FillIn = Callable[[Path, Sequence[TreeEntry]], Awaitable[list[str]]]
"""Puts submodules into a tree that is being written; the names of those that are left out."""


async def _leave_out(draft: Path, links: Sequence[TreeEntry]) -> list[str]:
    return [link.path for link in links]


class GitTrees:
    """Trees below one folder, by their commit's id; one that is there is not written again."""

    def __init__(
        self,
        repository: GitRepository,
        folder: Path,
        bounds: Callable[[], TreeBounds] = TreeBounds,
        *,
        boot_id: str = "",
    ) -> None:
        self._repository = repository
        self.folder = folder
        self._bounds = bounds
        self.fill_in: FillIn = _leave_out
        """What becomes of submodules."""
        self._boot_id = boot_id
        """Of the machine's run: what was written in another may be half on disk after a crash."""

    async def write(self, sha: str) -> GitTree:
        """The tree of a commit that was fetched. Raises GitTreeRefused, GitFailed and its kin."""
        known = self.find(sha)
        if known is not None:
            return known
        try:
            entries = await self._list(sha)
        except GitFailed:
            older = self.find(sha, any_boot=True)  # git holds it no more: better than nothing
            if older is not None:
                return older
            raise
        draft = self.folder / f".new-{sha}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            pointers = await self._fill(draft, sha, entries)
            links = [entry for entry in entries if entry.mode == _SUBMODULE]
            submodules = await self.fill_in(draft, links)
            self._note(sha, submodules=submodules, lfs_pointers=pointers)
            shutil.rmtree(self.folder / sha, ignore_errors=True)
            draft.rename(self.folder / sha)
        except OSError as error:
            raise GitUnwritable(f"{self.folder}: found {error.strerror or error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return GitTree(
            sha=sha,
            folder=self.folder / sha,
            submodules=tuple(submodules),
            lfs_pointers=tuple(pointers),
        )

    def find(self, sha: str, *, any_boot: bool = False) -> GitTree | None:
        """A tree that was written before, since the machine was started."""
        folder = self.folder / sha
        try:
            note = json.loads((self.folder / f"{sha}.json").read_bytes())
            left, pointers = tuple(note["submodules"]), tuple(note["lfs_pointers"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not folder.is_dir() or (note.get("boot") != self._boot_id and not any_boot):
            return None
        return GitTree(sha=sha, folder=folder, submodules=left, lfs_pointers=pointers)

    def keep(self, shas: Collection[str]) -> None:
        """Remove all trees but these."""
        for path in [*self.folder.iterdir()] if self.folder.is_dir() else ():
            if path.name.removesuffix(".json") in shas:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _note(self, sha: str, **words: list[str]) -> None:
        """Beside the tree, and not in it: what the commit holds is hostile."""
        note = json.dumps({**words, "boot": self._boot_id})
        (self.folder / f"{sha}.json").write_text(note, encoding="utf-8")

    async def _list(self, sha: str) -> list[TreeEntry]:
        bounds = self._bounds()
        try:
            listing = await self._repository.run(
                ["ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "--end-of-options", sha],
                of=sha,
                max_bytes=bounds.max_files * _ROW_BYTES,
            )
        except GitOutputTooLarge as error:
            raise GitTreeRefused(
                f"commit {sha}: found more than {bounds.max_files} files, or very long names"
            ) from error
        entries = parse_listing(listing)
        check_entries(sha, entries, bounds)
        return entries

    async def _fill(self, draft: Path, sha: str, entries: Sequence[TreeEntry]) -> list[str]:
        await asyncio.to_thread(_make_folders, draft, entries)
        pointers: list[str] = []
        links: list[tuple[TreeEntry, bytes]] = []
        for batch in _batches([e for e in entries if e.mode in {_FILE, _PROGRAM, _LINK}]):
            blobs = await self._read(sha, batch)
            links += [pair for pair in blobs if pair[0].mode == _LINK]
            files = [pair for pair in blobs if pair[0].mode != _LINK]
            await asyncio.to_thread(_write_files, draft, files)
            pointers += [entry.path for entry, content in files if content.startswith(_LFS_HEAD)]
        await asyncio.to_thread(_write_links, draft, links)
        return pointers

    async def _read(self, sha: str, batch: Sequence[TreeEntry]) -> list[tuple[TreeEntry, bytes]]:
        wanted = "".join(f"{entry.sha}\n" for entry in batch).encode()
        most = sum(entry.size_bytes + _ROW_BYTES for entry in batch)
        answer = await self._repository.run(
            ["cat-file", "--batch"], of=sha, stdin=wanted, max_bytes=most
        )
        return list(_blobs(batch, answer))


def parse_listing(listing: bytes) -> list[TreeEntry]:
    """What `git ls-tree -r -t -l -z` says. Raises GitTreeRefused for a name that is no text."""
    return [_entry(row) for row in listing.split(b"\0") if row]


def check_entries(sha: str, entries: Sequence[TreeEntry], bounds: TreeBounds) -> None:
    """Raises GitTreeRefused, naming the first thing that may not be."""
    if len(entries) > bounds.max_files:
        raise GitTreeRefused(
            f"commit {sha}: found {len(entries)} files, expected at most {bounds.max_files}"
        )
    size = sum(entry.size_bytes for entry in entries)
    if size > bounds.max_bytes:
        raise GitTreeRefused(
            f"commit {sha}: found {size} bytes, expected at most {bounds.max_bytes}"
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
    if entry.mode not in {_FOLDER, _FILE, _PROGRAM, _LINK, _SUBMODULE}:
        return f"the mode {entry.mode}, expected a file, a folder or a link"
    if len(entry.path.encode()) > _MAX_PATH or len(parts) > _MAX_DEPTH:
        return "too long or too deep a name"
    if entry.mode == _LINK and entry.size_bytes > _MAX_LINK:
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


def _batches(entries: Sequence[TreeEntry]) -> Iterator[list[TreeEntry]]:
    batch: list[TreeEntry] = []
    size = 0
    for entry in entries:
        if batch and size + entry.size_bytes > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size_bytes
    if batch:
        yield batch


def _blobs(batch: Sequence[TreeEntry], answer: bytes) -> Iterator[tuple[TreeEntry, bytes]]:
    at = 0
    for entry in batch:
        end = answer.find(b"\n", at)
        head = answer[at:end].split()
        if head != [entry.sha.encode(), b"blob", str(entry.size_bytes).encode()]:
            raise GitFailed("cat-file", 0, f"{entry.path}: found no content of the size listed")
        at = end + 1 + entry.size_bytes + 1
        yield entry, answer[end + 1 : at - 1]


def _make_folders(root: Path, entries: Sequence[TreeEntry]) -> None:
    root.mkdir(parents=True, mode=0o700)
    for entry in entries:
        if entry.mode == _FOLDER:
            (root / entry.path).mkdir(mode=0o755)


def _write_files(root: Path, files: Sequence[tuple[TreeEntry, bytes]]) -> None:
    for entry, content in files:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(root / entry.path, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o755 if entry.mode == _PROGRAM else 0o644)
            file.write(content)


def _write_links(root: Path, links: Sequence[tuple[TreeEntry, bytes]]) -> None:
    """All of them first, since one may lead through another; then the machine says where to."""
    real = root.resolve()
    for entry, content in links:
        if not content or b"\0" in content or content.startswith(b"/"):
            raise _astray(entry, content)
        (root / entry.path).symlink_to(os.fsdecode(content))
    for entry, content in links:
        try:
            inside = (root / entry.path).resolve(strict=True).is_relative_to(real)
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            raise _astray(entry, content)


def _astray(entry: TreeEntry, content: bytes) -> GitTreeRefused:
    return GitTreeRefused(
        f"{entry.path!r}: found a link to {os.fsdecode(content)!r}, "
        "expected one to something in the repository"
    )
