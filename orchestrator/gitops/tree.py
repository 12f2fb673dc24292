"""GitTree: the files of one commit, written by ourselves into a folder of their own.

The repository is hostile. Each name is checked before anything is written, everything is written
below a folder that nobody else knows yet, links come last and must lead to something inside, and
the whole is bounded in files and bytes before the first byte is read.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.entries import (
    FILE,
    FOLDER,
    LINK,
    PROGRAM,
    SUBMODULE,
    GitTreeRefused,
    TreeBounds,
    TreeEntry,
    check_entries,
    disk_bytes,
    parse_listing,
)
from orchestrator.gitops.git import GitFailed, GitOutputTooLarge
from orchestrator.gitops.links import write_links
from orchestrator.gitops.repository import GitRepository

_BATCH_BYTES: Final = 16 << 20
_ROW_BYTES: Final = 400
_LFS_HEAD: Final = b"version https://git-lfs.github.com/spec/"


class GitUnwritable(OrchestratorError):
    """The files of a commit cannot be written: a full disk, say."""

    kind, code = Kind.EXHAUSTED, "git_unwritable"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitTree:
    """A commit's files on disk."""

    sha: str
    folder: Path
    submodules: tuple[str, ...] = ()
    """Left out."""
    lfs_pointers: tuple[str, ...] = ()
    """Files whose content is elsewhere (Git LFS): here they are what git holds, a few lines."""
    lost_links: tuple[str, ...] = ()
    """Links to nothing in the repository; left out."""


FillIn = Callable[[Path, Sequence[TreeEntry]], Awaitable[list[str]]]
"""Puts submodules into a tree that is being written; the names of those that are left out."""


async def _leave_out(draft: Path, links: Sequence[TreeEntry]) -> list[str]:
    return [link.path for link in links]


async def _bring_nothing(sha: str) -> None:
    """What git does not hold is nowhere else."""


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
        self.bring: Callable[[str], Awaitable[None]] = _bring_nothing
        """Fetches a commit that git holds no more."""
        self.make_room: Callable[[], None] = lambda: None
        """Has all trees removed that nobody needs."""
        self._sizes: dict[str, int] = {}
        self._draft = ""
        """The commit that is being written."""
        self._boot_id = boot_id
        """Of the machine's run: what was written in another may be half on disk after a crash."""

    async def write(self, sha: str) -> GitTree:
        """The tree of a commit that was fetched, and is fetched again if git holds it no more.

        Raises GitTreeRefused, GitFailed and its kin, and what `bring` raises.
        """
        known = self.find(sha)
        if known is not None:
            return known
        try:
            entries = await self._list(sha)
        except GitFailed:
            older = self.find(sha, any_boot=True)  # better than nothing
            if older is not None:
                return older
            await self.bring(sha)
            entries = await self._list(sha)
        return await self._write(sha, entries)

    async def _write(self, sha: str, entries: Sequence[TreeEntry]) -> GitTree:
        draft, self._draft = self.folder / f".new-{sha}", sha
        shutil.rmtree(draft, ignore_errors=True)
        self._check_room(sha, disk_bytes([entry.size_bytes for entry in entries]))
        try:
            pointers, lost = await self._fill(draft, sha, entries)
            links = [entry for entry in entries if entry.mode == SUBMODULE]
            submodules = await self.fill_in(draft, links)
            size = await asyncio.to_thread(size_of, draft)  # with the submodules
            self._check_room(sha, size)
            words = {"submodules": submodules, "lfs_pointers": pointers, "lost_links": lost}
            self._note(sha, words, size)
            shutil.rmtree(self.folder / sha, ignore_errors=True)
            draft.rename(self.folder / sha)
        except OSError as error:
            raise GitUnwritable(f"{self.folder}: found {error.strerror or error}") from error
        finally:
            self._draft = ""
            shutil.rmtree(draft, ignore_errors=True)
        return GitTree(
            sha=sha,
            folder=self.folder / sha,
            submodules=tuple(submodules),
            lfs_pointers=tuple(pointers),
            lost_links=tuple(lost),
        )

    def find(self, sha: str, *, any_boot: bool = False) -> GitTree | None:
        """A tree that was written before, since the machine was started."""
        folder = self.folder / sha
        try:
            note = json.loads((self.folder / f"{sha}.json").read_bytes())
            left, pointers = tuple(note["submodules"]), tuple(note["lfs_pointers"])
            lost = tuple(note.get("lost_links", ()))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not folder.is_dir() or (note.get("boot") != self._boot_id and not any_boot):
            return None
        return GitTree(
            sha=sha, folder=folder, submodules=left, lfs_pointers=pointers, lost_links=lost
        )

    def keep(self, shas: Collection[str], spare: Iterable[str] = ()) -> None:
        """Remove all trees but these; of `spare`, the first ones stay for which there is room."""
        here = {*self._here()}
        kept = {*shas, self._draft}
        room = self._bounds().all_bytes - sum(self._size(sha) for sha in here & {*shas})
        for sha in spare:
            room -= self._size(sha) if sha in here - kept else 0
            if room < 0:
                break
            kept.add(sha)
        for path in [*self.folder.iterdir()] if self.folder.is_dir() else ():
            sha = path.name.removesuffix(".json").removeprefix(".new-")
            if sha in kept:
                continue
            self._sizes.pop(sha, None)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _check_room(self, sha: str, needed: int) -> None:
        """Before a commit is written, and once it is, for its submodules count too."""
        most = self._bounds().all_bytes
        if self._taken(sha) + needed <= most:
            return
        self.make_room()
        taken = self._taken(sha)
        if taken + needed > most:
            raise GitTreeRefused(
                f"commit {sha}: found {needed} bytes beside {taken} of other commits whose files "
                f"are in use, expected at most {most} in all (git.trees_mb)"
            )

    def _taken(self, but: str) -> int:
        return sum(self._size(sha) for sha in self._here() if sha != but)

    def _here(self) -> list[str]:
        paths = [*self.folder.iterdir()] if self.folder.is_dir() else []
        return [path.name for path in paths if path.is_dir() and not path.name.startswith(".")]

    def _size(self, sha: str) -> int:
        """Of one that is there; looked at once in a daemon's life."""
        if sha not in self._sizes:
            self._sizes[sha] = size_of(self.folder / sha)
        return self._sizes[sha]

    def _note(self, sha: str, words: Mapping[str, list[str]], size: int) -> None:
        """Beside the tree, and not in it: what the commit holds is hostile."""
        self._sizes[sha] = size
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
                f"commit {sha}: found more than {bounds.max_files} files and folders, or very long "
                "names, expected fewer (git.max_files)"
            ) from error
        entries = parse_listing(listing)
        check_entries(sha, entries, bounds)
        return entries

    async def _fill(
        self, draft: Path, sha: str, entries: Sequence[TreeEntry]
    ) -> tuple[list[str], list[str]]:
        """Which files are pointers, and which links lead to nothing."""
        await asyncio.to_thread(_make_folders, draft, entries)
        pointers: list[str] = []
        links: list[tuple[TreeEntry, bytes]] = []
        for batch in _batches([e for e in entries if e.mode in {FILE, PROGRAM, LINK}]):
            blobs = await self._read(sha, batch)
            links += [pair for pair in blobs if pair[0].mode == LINK]
            files = [pair for pair in blobs if pair[0].mode != LINK]
            await asyncio.to_thread(_write_files, draft, files)
            pointers += [entry.path for entry, content in files if content.startswith(_LFS_HEAD)]
        return pointers, await asyncio.to_thread(write_links, draft, links)

    async def _read(self, sha: str, batch: Sequence[TreeEntry]) -> list[tuple[TreeEntry, bytes]]:
        wanted = "".join(f"{entry.sha}\n" for entry in batch).encode()
        most = sum(entry.size_bytes + _ROW_BYTES for entry in batch)
        answer = await self._repository.run(
            ["cat-file", "--batch"], of=sha, stdin=wanted, max_bytes=most
        )
        return list(_blobs(batch, answer))


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
        if entry.mode == FOLDER:
            (root / entry.path).mkdir(mode=0o755)


def _write_files(root: Path, files: Sequence[tuple[TreeEntry, bytes]]) -> None:
    for entry, content in files:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(root / entry.path, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o755 if entry.mode == PROGRAM else 0o644)
            file.write(content)


def size_of(folder: Path) -> int:
    """Of all files, folders and links in it, as a disk counts."""
    return disk_bytes([path.lstat().st_size for path in folder.rglob("*")])
