"""GitRepository: a bare repository of our own, into which one ref of a remote is fetched.

It is a cache: it may be deleted at any time. It has no work tree, so nothing of git's checkout,
with its filters, attributes and hooks, ever runs; tree.py writes the files.
"""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.engine.command import clean_line
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.address import candidates, check_ref, check_url, is_commit_id
from orchestrator.gitops.git import NO_CREDENTIALS, Git, GitCredentials, GitFailed

MAX_LISTING_BYTES: Final = 1 << 20
MAX_COMMIT_BYTES: Final = 1 << 20
_TWO_OBJECTS: Final = 2 * MAX_COMMIT_BYTES
MAX_WORDS: Final = 200
MAX_CACHE_FILES: Final = 20_000
_NOT_THERE: Final = ("not our ref", "find remote ref")
"""What git says where a remote has no such commit."""
_OURS: Final = "refs/orchestrator/wanted"
_LONG_ID: Final = 64
LIST_SECONDS: Final = 30.0


class GitRefNotFound(OrchestratorError):
    """The remote has no such branch or tag, or none any more."""

    kind, code = Kind.NOT_FOUND, "git_ref_not_found"


class GitUnreachable(OrchestratorError):
    """The remote does not answer, or does not let us in."""

    kind, code = Kind.UNAVAILABLE, "git_unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One revision: what is wanted, by whom, when."""

    sha: str
    author: str
    at: float
    """When it was committed, by the committer's word; seconds since the epoch."""
    subject: str
    tag: str = ""
    """The id of the annotated tag that it was reached through; empty without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRef:
    """A ref as the remote has it."""

    name: str
    """In full; a commit's id stands for itself."""
    sha: str
    """Of the commit, or of an annotated tag."""


class GitRepository:
    """The cache of one remote; never used by two tasks at a time."""

    def __init__(self, git: Git, folder: Path, *, max_bytes: int = 1 << 30) -> None:
        self._git = git
        self._folder = folder
        self._max_bytes = max_bytes
        self._doubtful: set[str] = set()
        """Kinds whose cache may be what is in the way: a lock of a killed git, a damaged object."""

    async def look(
        self, url: str, ref: str, credentials: GitCredentials = NO_CREDENTIALS
    ) -> RemoteRef:
        """Where the ref is now; nothing is fetched.

        Raises GitUrlRefused, GitRefRefused, GitUnreachable, GitRefNotFound, GitTimedOut.
        """
        check_url(url)
        if is_commit_id(check_ref(ref)):
            return RemoteRef(name=ref, sha=ref)
        names = candidates(ref)
        try:
            listing = await self._git.run(
                ["ls-remote", "--quiet", "--end-of-options", url, *names],
                credentials=credentials,
                max_bytes=MAX_LISTING_BYTES,
                seconds=LIST_SECONDS,
            )
        except GitFailed as error:
            raise GitUnreachable(f"git {_shown(url)}: {error.words or error}") from error
        found = _listed(listing)
        for name in names:
            if name in found:
                return RemoteRef(name=name, sha=found[name])
        raise GitRefNotFound(
            f"git {_shown(url)}: found no {ref!r}, expected a branch or tag of that name"
        )

    async def fetch(
        self, url: str, wanted: RemoteRef, credentials: GitCredentials = NO_CREDENTIALS
    ) -> Commit:
        """Bring the ref's newest commit here, without its history.

        Raises GitUnreachable, GitRefNotFound (what is there is no commit), GitTimedOut.
        """
        await self._make_ready(check_url(url), wanted.sha)
        try:
            await self.run(
                [
                    *("fetch", "--quiet", "--force", "--depth=1", "--no-tags", "--update-shallow"),
                    *("--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"),
                    *("--end-of-options", url, f"+{wanted.name}:{_OURS}"),
                ],
                of=wanted.sha,
                credentials=credentials,
            )
        except GitFailed as error:
            if wanted.name == wanted.sha and any(words in error.words for words in _NOT_THERE):
                raise GitRefNotFound(
                    f"git {_shown(url)}: found no commit {wanted.sha}, expected it in the remote"
                ) from error
            raise GitUnreachable(f"git {_shown(url)}: {error.words or error}") from error
        return await self._commit(wanted.sha)

    async def run(
        self,
        arguments: Sequence[str],
        *,
        of: str,
        settings: Sequence[str] = (),
        stdin: bytes = b"",
        max_bytes: int = MAX_COMMIT_BYTES,
        credentials: GitCredentials = NO_CREDENTIALS,
    ) -> bytes:
        """Git in the repository of the commit `of`. Raises GitFailed and its kin.

        After one that failed or was killed the next fetch begins with a new cache.
        """
        kind = _kind(of)
        try:
            return await self._git.run(
                [f"--git-dir={self._folder / kind}", *arguments],
                settings=settings,
                stdin=stdin,
                max_bytes=max_bytes,
                credentials=credentials,
            )
        except BaseException:
            self._doubtful.add(kind)
            raise

    async def _make_ready(self, url: str, sha: str) -> None:
        """A cache that grew too large, or is another remote's, begins anew."""
        kind = _kind(sha)
        folder = self._folder / kind
        mark = folder / "orchestrator-remote"
        known = mark.read_text(encoding="utf-8") if mark.is_file() else None
        fits = kind not in self._doubtful and known == url
        if fits and await asyncio.to_thread(_is_small, folder, self._max_bytes):
            return
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        form = f"--object-format={kind}"
        await self._git.run(["init", "--quiet", "--bare", "--template=", form, str(folder)])
        mark.write_text(url, encoding="utf-8")
        self._doubtful.discard(kind)

    async def _commit(self, of: str) -> Commit:
        """What was fetched, in one run of git: the time of a push is mostly that of processes."""
        names = f"{_OURS}\n{_OURS}^{{commit}}\n".encode()
        answer = await self.run(["cat-file", "--batch"], of=of, stdin=names, max_bytes=_TWO_OBJECTS)
        (given, _, first), rest = _object(answer)
        (sha, kind, _), body = _object(rest[int(first) + 1 :] if first.isdecimal() else b"")
        if kind != "commit":
            raise GitRefNotFound(f"git: found something else than a commit at {given or of}")
        return parse_commit(sha, body, tag=given if given != sha else "")


def _object(answer: bytes) -> tuple[tuple[str, str, str], bytes]:
    """(id, kind, size) of an object as `cat-file --batch` says it, and what follows; or blanks."""
    head, _, rest = answer.partition(b"\n")
    words = head.decode(errors="replace").split()
    return (words[0], words[1], words[2]) if len(words) == 3 else ("", "", ""), rest  # noqa: PLR2004


def parse_commit(sha: str, raw: bytes, *, tag: str = "") -> Commit:
    """What a commit says of itself; its text is data, whatever it says."""
    head, _, message = raw.decode(errors="replace").partition("\n\n")
    fields = dict(
        line.split(" ", 1)
        for line in reversed(head.splitlines())
        if line[:1].isalpha() and " " in line
    )
    return Commit(
        sha=sha,
        author=clean_line(fields.get("author", "").rpartition("> ")[0] + ">")[:MAX_WORDS],
        at=_moment(fields.get("committer", "")),
        subject=clean_line((message.strip().splitlines() or [""])[0])[:MAX_WORDS],
        tag=tag,
    )


def _kind(sha: str) -> str:
    """Which hash a commit's id is made with: one repository knows one of them."""
    return "sha256" if len(sha) == _LONG_ID else "sha1"


def _moment(person: str) -> float:
    words = person.rpartition("> ")[2].split()
    number = words[0] if words else ""
    return float(number) if number.isdecimal() and len(number) < len("99999999999") else 0.0


def _listed(listing: bytes) -> dict[str, str]:
    """Ref → id, of what `ls-remote` says; lines of another shape are passed over."""
    pairs = (line.split("\t", 1) for line in listing.decode(errors="replace").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) > 1 and is_commit_id(pair[0])}


def _is_small(folder: Path, most: int) -> bool:
    """Whether a cache may stay: small pushes make many small files, which nothing packs."""
    sizes = [file.lstat().st_size for file in folder.rglob("*") if file.is_file()]
    return len(sizes) <= MAX_CACHE_FILES and sum(sizes) <= most


def _shown(url: str) -> str:
    return clean_line(url)
