"""Real git repositories for tests, made by git itself; hostile ones by its plumbing."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class Repo:
    """A repository with a work tree; `url` is what an operator would write."""

    def __init__(self, folder: Path, *, object_format: str = "sha1") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", f"--object-format={object_format}")

    @property
    def url(self) -> str:
        return str(self.folder)

    def git(self, *arguments: str, stdin: str | bytes = b"") -> str:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**_ENVIRONMENT, "HOME": str(self.folder)},
            input=given,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (arguments, done.stderr.decode())
        return done.stdout.decode().strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        """Text by path; None removes the file."""
        for path, text in files.items():
            file = self.folder / path
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def commit(
        self,
        files: Mapping[str, str | None] | None = None,
        *,
        subject: str = "Change",
        sign: str = "",
    ) -> str:
        """The new commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={sign}"] if sign else []
        self.git(
            *signing, "commit", "-q", "--allow-empty", "-m", subject, *(["-S"] if sign else [])
        )
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def blob(self, content: str | bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def raw_commit(self, rows: Mapping[str, tuple[str, str]], branch: str = "main") -> str:
        """A commit of a tree with just these names, whatever they are: name → (mode, id)."""
        tree = self._tree(rows)
        sha = self.git("commit-tree", tree, "-m", "raw")
        self.git("update-ref", f"refs/heads/{branch}", sha)
        return sha

    def _tree(self, rows: Mapping[str, tuple[str, str]]) -> str:
        body = b"".join(
            f"{mode} {name}".encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(sha)
            for name, (mode, sha) in rows.items()
        )
        return self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=body)

    def tree(self, rows: Mapping[str, tuple[str, str]]) -> str:
        """A tree's id, to put into another."""
        return self._tree(rows)
