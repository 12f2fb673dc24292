"""LocalClone: an operator's own clone, to which a commit is added on a branch.

By git's plumbing alone: neither the work tree nor the index that people work with is touched, no
hook runs, and the branch moves only if it is still where it was looked at. Author and committer
are whom the operator's git configuration names.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from orchestrator.engine.command import clean_line
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.address import GitPathRefused, check_ref
from orchestrator.gitops.git import GitFailed, GitMissing, GitTimedOut

SECONDS: Final = 60.0
_FILES: Final = ("100644", "100755")
_MAX_ROWS: Final = 10_000


class PinConflict(OrchestratorError):
    """The commit would get into the way of what somebody is at."""

    kind, code = Kind.CONFLICT, "pin_conflict"


class LocalClone:
    """A repository with a work tree, or a bare one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tip(self, branch: str) -> tuple[str, bool]:
        """Where the branch is, or would begin: HEAD; and whether it exists.

        Raises GitRefRefused, GitPathRefused, PinConflict (it is checked out), GitFailed.
        """
        name = f"refs/heads/{check_ref(branch)}"
        self._check_place()
        out = self._git("for-each-ref", "--format=%(objectname) %(worktreepath)", name)
        rows = [line.partition(" ") for line in out.decode(errors="replace").splitlines()]
        if any(where for _, _, where in rows):
            raise PinConflict(
                f"branch {branch}: found it checked out in {clean_line(rows[0][2])}, whose files "
                "would stay behind, expected a branch that nobody works on"
            )
        if rows:
            return rows[0][0], True
        return self._line("rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD"), False

    def read(self, commit: str, folder: str, suffixes: Sequence[str]) -> dict[str, bytes]:
        """The plain files directly in a folder of the commit, by path. Raises GitFailed."""
        place = f"{folder.rstrip('/')}/" if folder else ""
        out = self._git("ls-tree", "-z", "--full-tree", commit, "--", *([place] if place else []))
        found = {}
        for row in out.split(b"\0")[:_MAX_ROWS]:
            head, _, name = row.decode("utf-8", "surrogateescape").partition("\t")
            if head.split(" ")[0] in _FILES and name.endswith(tuple(suffixes)):
                found[name] = self._git("cat-file", "blob", head.split(" ")[2])
        return found

    def check_clean(self, files: Sequence[str]) -> None:
        """Raises PinConflict if the work tree holds other changes of the same files."""
        if self._line("rev-parse", "--is-bare-repository") == "true":
            return
        paths = [f":(top,literal){file}" for file in files]
        out = self._git("status", "--porcelain", "-z", "--untracked-files=all", "--", *paths)
        if out:
            names = ", ".join(row[3:] for row in out.decode(errors="replace").split("\0") if row)
            raise PinConflict(
                f"{clean_line(names)}: found changes that are not committed, expected none in what "
                "is to be pinned: they would conflict"
            )

    def commit(
        self, branch: str, parent: str, files: Mapping[str, bytes], message: str, *, new: bool
    ) -> str:
        """The id of a commit of `parent` with these files, which the branch is at then.

        Raises GitFailed, also when the branch moved meanwhile.
        """
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", parent, environment=index)
            rows = b""
            for path, content in files.items():
                mode = self._mode(parent, path)
                blob = self._line("hash-object", "-w", "--no-filters", "--stdin", stdin=content)
                rows += f"{mode} {blob}\t{path}".encode("utf-8", "surrogateescape") + b"\0"
            self._git("update-index", "-z", "--index-info", stdin=rows, environment=index)
            tree = self._line("write-tree", environment=index)
        signed = self._git("config", "--type=bool", "--default=false", "commit.gpgsign").strip()
        sign = ["-S"] if signed == b"true" else []
        commit = self._line("commit-tree", *sign, "-p", parent, "-F", "-", tree, stdin=message)
        expected = "0" * len(parent) if new else parent
        self._git("update-ref", "-m", "pin", f"refs/heads/{branch}", commit, expected)
        return commit

    # -------------------------------------------------------------------------------------------

    def _check_place(self) -> None:
        """A bare repository among the files of another came with them: its settings run programs.

        Raises GitPathRefused.
        """
        if self._line("rev-parse", "--is-bare-repository") != "true":
            return
        folder = Path(self._git("rev-parse", "--absolute-git-dir").rstrip(b"\n").decode())
        try:
            around = self._line("-C", str(folder.parent), "rev-parse", "--is-inside-work-tree")
        except GitFailed:
            return  # it lies in none
        if around == "true":
            raise GitPathRefused(
                f"git path: found a bare repository in {clean_line(str(folder))}, among the files "
                "of another repository, expected a clone of your own"
            )

    def _mode(self, commit: str, path: str) -> str:
        out = self._git("ls-tree", "--full-tree", commit, "--", path)
        return out.decode(errors="replace").split(" ")[0]

    def _line(
        self,
        *arguments: str,
        stdin: bytes | str = b"",
        environment: Mapping[str, str] | None = None,
    ) -> str:
        return self._git(*arguments, stdin=stdin, environment=environment).decode().strip()

    def _git(
        self,
        *arguments: str,
        stdin: bytes | str = b"",
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments]
        given = stdin.encode() if isinstance(stdin, str) else stdin
        env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environment or {})}
        try:
            done = subprocess.run(  # noqa: S603 - git, with checked names
                argv,
                cwd=self._folder,
                env=env,
                input=given,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GitTimedOut(f"git {arguments[0]}: found no end after {SECONDS:g} s") from None
        except OSError as error:
            raise GitMissing(f"git: found no such program ({error.strerror})") from error
        if done.returncode:
            lines = [clean_line(line) for line in done.stderr.decode(errors="replace").splitlines()]
            raise GitFailed(arguments[0], done.returncode, "; ".join([x for x in lines if x][-5:]))
        return done.stdout
