"""Submodules: other repositories in a tree, where the operator allows them at all.

`.gitmodules` is a stranger's word. So a submodule may lie on the host of the repository itself and
nowhere else: it could have us ask machines that only we can reach, read other repositories of this
one, or show our password to somebody. Submodules of submodules are left out.
"""

import asyncio
import hashlib
import posixpath
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.address import check_url
from orchestrator.gitops.entries import GitTreeRefused, TreeBounds, TreeEntry
from orchestrator.gitops.git import Git, GitCredentials, GitFailed
from orchestrator.gitops.repository import GitRepository, RemoteRef
from orchestrator.gitops.tree import GitTrees, size_of
from orchestrator.model.git import GitSource

MAX_SUBMODULES: Final = 20
_TREES: Final = "trees"
_MAX_SETTINGS: Final = 1 << 16
_KEY: Final = re.compile(r"submodule\.(.*)\.(path|url)", re.DOTALL)
_SCP: Final = re.compile(r"((?:[^@/:]+@)?([^/:]+)):(.+)")


class GitSubmoduleRefused(OrchestratorError):
    """A submodule that lies elsewhere, or that `.gitmodules` does not explain."""

    kind, code = Kind.INVALID, "git_submodule_refused"


class Submodules:
    """Fetches them into a tree that is being written; each is a tree with bounds of its own."""

    def __init__(
        self,
        git: Git,
        folder: Path,
        *,
        source: Callable[[], GitSource | None],
        credentials: Callable[[GitSource], AbstractContextManager[GitCredentials]],
        bounds: Callable[[], TreeBounds],
    ) -> None:
        self._git = git
        self._folder = folder
        self._source = source
        self._credentials = credentials
        self._bounds = bounds

    async def fill(self, draft: Path, links: Sequence[TreeEntry]) -> list[str]:
        """Put them where they belong; the names of those that are left out.

        Raises GitSubmoduleRefused, GitTreeRefused, GitUnreachable and their kin.
        """
        source = self._source()
        if source is None or not source.submodules or not links:
            return [link.path for link in links]
        if len(links) > MAX_SUBMODULES:
            raise GitSubmoduleRefused(
                f"found {len(links)} submodules, expected at most {MAX_SUBMODULES}"
            )
        known = await self._urls(draft)
        urls = [submodule_url(known.get(it.path, ""), source.url, it.path) for it in links]
        self._keep({*map(_cache_name, urls)})
        for link, url in zip(links, urls, strict=True):
            await self._add(source, draft / link.path, url, link.sha)
            most = self._bounds().all_bytes
            if (size := await asyncio.to_thread(size_of, draft)) > most:
                raise GitTreeRefused(
                    f"submodule {link.path!r}: found {size} bytes with those before, expected at "
                    f"most {most} (git.trees_mb)"
                )
        return []

    def _keep(self, names: Collection[str]) -> None:
        """Each commit may name others, so only what the newest one names is kept."""
        for path in [*self._folder.iterdir()] if self._folder.is_dir() else ():
            if path.name not in {*names, _TREES}:
                shutil.rmtree(path, ignore_errors=True)

    async def _urls(self, draft: Path) -> dict[str, str]:
        file = draft / ".gitmodules"
        if file.is_symlink() or not file.is_file():
            raise GitSubmoduleRefused("found submodules without .gitmodules, expected that file")
        arguments = ["config", "-z", "--no-includes", "--file", str(file), "--get-regexp"]
        try:
            answer = await self._git.run(
                [*arguments, r"^submodule\..*\.(path|url)$"], max_bytes=_MAX_SETTINGS
            )
        except GitFailed as error:
            raise GitSubmoduleRefused(f".gitmodules: {error.words or error}") from error
        return submodule_urls(answer)

    async def _add(self, source: GitSource, target: Path, url: str, sha: str) -> None:
        repository = GitRepository(self._git, self._folder / _cache_name(url))
        with self._credentials(source) as credentials:
            await repository.fetch(url, RemoteRef(name=sha, sha=sha), credentials)
        trees = GitTrees(repository, self._folder / _TREES, self._bounds)
        trees.keep(())
        tree = await trees.write(sha)
        tree.folder.rename(target)


def _cache_name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def submodule_urls(settings: bytes) -> dict[str, str]:
    """Path → URL, of what `git config -z --get-regexp` says. Pure."""
    known: dict[str, dict[str, str]] = {}
    for row in settings.decode(errors="replace").split("\0"):
        key, _, value = row.partition("\n")
        match = _KEY.fullmatch(key)
        if match is not None:
            known.setdefault(match[1], {})[match[2]] = value
    return {one["path"]: one["url"] for one in known.values() if {"path", "url"} <= one.keys()}


def submodule_url(url: str, parent: str, path: str) -> str:
    """The URL in full, on its parent's host. Raises GitSubmoduleRefused, GitUrlRefused. Pure."""
    full = _joined(url, parent) if url.startswith(("./", "../")) else url
    if not full:
        raise GitSubmoduleRefused(f"submodule {path!r}: found no URL, expected one in .gitmodules")
    check_url(full)
    if _place(full) != _place(parent) or ".." in full.split("/"):
        raise GitSubmoduleRefused(
            f"submodule {path!r}: found {full!r}, expected one where {parent!r} is"
        )
    return full


def _joined(relative: str, parent: str) -> str:
    head, path = _split(parent)
    return head + posixpath.normpath(posixpath.join(path, relative))


def _split(url: str) -> tuple[str, str]:
    """What comes before the path, and the path."""
    if "://" in url:
        path = urlsplit(url).path
        return url[: len(url) - len(path)], path
    match = _SCP.fullmatch(url)
    return (f"{match[1]}:", match[3]) if match and not url.startswith("/") else ("", url)


def _place(url: str) -> tuple[str, str, object]:
    """Which host it is on; of a local repository, in which folder it lies."""
    head, path = _split(url)
    if "://" in url and not url.startswith("file:"):
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port
    if head and not url.startswith("file:"):
        return "ssh", head.rpartition("@")[2].rstrip(":"), None
    return "file", posixpath.dirname(posixpath.normpath(path)), None
