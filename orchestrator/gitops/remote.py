"""Remote: the repository that is followed: when to look at it, and what it says then."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.gitops.decide import pause_after
from orchestrator.gitops.git import GitCredentials
from orchestrator.gitops.repository import Commit, GitRepository, RemoteRef
from orchestrator.gitops.signatures import check_signature
from orchestrator.gitops.tree import GitTree, GitTrees
from orchestrator.manager.secrets import read_secret
from orchestrator.model.git import GitSource

JITTER: Final = 0.1
"""Part of the interval by which looks differ, so that many do not come at once."""
FIRST_PAUSE_SECONDS: Final = 5.0
MOST_PAUSE_SECONDS: Final = 300.0
MIN_GAP_SECONDS: Final = 1.0
"""Between two looks that somebody asked for, the first of a series aside."""


class Remote:
    """One per daemon. Times are of the monotonic clock."""

    def __init__(
        self,
        *,
        repository: GitRepository,
        trees: GitTrees,
        keys: Path,
        monotonic: Callable[[], float],
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.repository = repository
        self.trees = trees
        self._keys = keys
        self._monotonic = monotonic
        self._jitter = jitter
        self._next = 0.0
        self._last = -MIN_GAP_SECONDS
        self._failures = 0
        self.trouble = ""
        """Why it does not answer; empty while it does."""

    @property
    def due_in(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._next - self._monotonic())

    def hurry(self) -> None:
        """Somebody says that there is something new: look soon, though not at every shout."""
        soon = max(self._monotonic(), self._last + MIN_GAP_SECONDS)
        self._next = min(self._next, soon)

    def forget(self) -> None:
        """Another remote is followed from now on."""
        self._next, self._failures, self.trouble = 0.0, 0, ""

    async def look(self, source: GitSource) -> RemoteRef:
        """Where the ref is now. Raises what GitRepository.look raises, SecretUnreadable."""
        self._last = self._monotonic()
        try:
            with self.credentials(source) as credentials:
                ref = await self.repository.look(source.url, source.ref, credentials)
        except OrchestratorError as error:
            self.failed(source, error)
            raise
        self._failures, self.trouble = 0, ""
        spread = self._jitter(1.0 - JITTER, 1.0 + JITTER)
        self._next = self._monotonic() + source.poll_seconds * spread
        return ref

    async def fetch(self, source: GitSource, ref: RemoteRef) -> tuple[Commit, GitTree]:
        """The commit with its files, signed as the policy asks.

        Raises GitUnreachable, GitNotSigned, GitTreeRefused and their kin.
        """
        with self.credentials(source) as credentials:
            commit = await self.repository.fetch(source.url, ref, credentials)
        await check_signature(self.repository, commit, source.verify)
        return commit, await self.trees.write(commit.sha)

    async def bring(self, source: GitSource, sha: str) -> None:
        """A commit that was here before, and is gone back to.

        Raises GitUnreachable, GitRefNotFound (the remote has it no more) and their kin.
        """
        with self.credentials(source) as credentials:
            await self.repository.fetch(source.url, RemoteRef(name=sha, sha=sha), credentials)

    def failed(self, source: GitSource, error: OrchestratorError) -> None:
        """It did not answer: later each time, but never later than it would be anyway."""
        self._failures += 1
        most = max(FIRST_PAUSE_SECONDS, min(MOST_PAUSE_SECONDS, source.poll_seconds))
        pause = pause_after(self._failures, first=FIRST_PAUSE_SECONDS, most=most)
        self._next = self._monotonic() + pause * self._jitter(1.0 - JITTER, 1.0 + JITTER)
        self.trouble = str(error)

    @contextmanager
    def credentials(self, source: GitSource) -> Iterator[GitCredentials]:
        """Read anew each time, so that a changed secret needs no restart."""
        token = b""
        if source.token is not None:
            token = read_secret(Path(source.token.file), "git.token.file")
        key = self._keys / "key" if source.ssh_key is not None else None
        try:
            if key is not None and source.ssh_key is not None:
                _put(key, read_secret(Path(source.ssh_key.file), "git.ssh_key.file"))
            yield GitCredentials(
                token=token.decode(errors="replace").strip(),
                token_user=source.token_user,
                ssh_key_file=key,
                known_hosts_file=Path(source.known_hosts) if source.known_hosts else None,
            )
        finally:
            if key is not None:
                shutil.rmtree(self._keys, ignore_errors=True)


def _put(path: Path, content: bytes) -> None:
    """A key as ssh wants it: nobody else's to read, and with its last line ended."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content.rstrip(b"\n") + b"\n")
