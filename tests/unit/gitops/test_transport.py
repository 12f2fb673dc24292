"""https, as far as this machine can: git's own server behind HTTP, which asks for a password."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from orchestrator.gitops.git import GitCredentials
from orchestrator.gitops.repository import GitUnreachable
from orchestrator.model.git import GitSource
from orchestrator.model.secret_source import SecretFile
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader
from tests.unit.gitops.test_remote import remote_of

TOKEN = GitCredentials(token="a-token", token_user="reader")  # noqa: S106 - of a test
BASIC = "Basic " + base64.b64encode(b"reader:a-token").decode()


class _Forge(BaseHTTPRequestHandler):
    """`git http-backend`, for those who know the token; `/away/` leads elsewhere."""

    root: ClassVar[Path]
    seen: ClassVar[list[tuple[str, str]]]

    def _serve(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/away/", "/"))
            self.end_headers()
        elif self.headers.get("Authorization") != BASIC:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
        else:
            self._answer(body)

    do_GET = do_POST = _serve  # noqa: N815 - the names http.server looks for

    def _answer(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
            input=body,
            capture_output=True,
            check=True,
            timeout=60,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    handler = type("Handler", (_Forge,), {"root": tmp_path, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.seen
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_token_lets_us_in(
    reader: Reader, repo: Repo, forge: tuple[str, list[tuple[str, str]]]
) -> None:
    sha = repo.commit({"a": "1"})
    url = f"{forge[0]}/remote/.git"
    commit = await reader.repository.fetch(
        url, await reader.repository.look(url, "main", TOKEN), TOKEN
    )
    tree = await reader.trees.write(commit.sha)

    assert (commit.sha, (tree.folder / "a").read_text()) == (sha, "1")
    assert {authorization for _, authorization in forge[1]} == {BASIC}


async def test_the_token_of_the_settings_lets_us_in_and_nobody_without_it(
    reader: Reader, repo: Repo, tmp_path: Path, forge: tuple[str, list[tuple[str, str]]]
) -> None:
    sha = repo.commit({"a": "1"})
    (tmp_path / "token").write_text("a-token\n")
    token = SecretFile(file=str(tmp_path / "token"))
    url = f"{forge[0]}/remote/.git"
    remote = remote_of(reader, tmp_path)
    source = GitSource(url=url, token=token, token_user="reader")  # noqa: S106 - a user's name
    commit, tree = await remote.fetch(source, await remote.look(source))

    assert (commit.sha, (tree.folder / "a").read_text()) == (sha, "1")
    assert {authorization for _, authorization in forge[1]} == {BASIC}
    for other in (source.model_copy(update={"token": None}), GitSource(url=url, token=token)):
        with pytest.raises(GitUnreachable):
            await remote.look(other)
    (tmp_path / "token").write_text("another")
    with pytest.raises(GitUnreachable):
        await remote.look(source)  # it is read anew each time


async def test_without_it_nobody_is_asked_and_nothing_waits(
    reader: Reader, repo: Repo, forge: tuple[str, list[tuple[str, str]]]
) -> None:
    repo.commit({"a": "1"})
    for credentials in (GitCredentials(), GitCredentials(token="other")):  # noqa: S106 - of a test
        with pytest.raises(GitUnreachable) as refused:
            await reader.repository.look(f"{forge[0]}/remote/.git", "main", credentials)
        assert "other" not in str(refused.value).replace("another", "")


async def test_a_remote_that_leads_elsewhere_is_not_followed(
    reader: Reader, repo: Repo, forge: tuple[str, list[tuple[str, str]]]
) -> None:
    """It would be given the token, or make us ask a machine that only we can reach."""
    repo.commit({"a": "1"})
    with pytest.raises(GitUnreachable):
        await reader.repository.look(f"{forge[0]}/away/remote/.git", "main", TOKEN)

    assert all(path.startswith("/away/") for path, _ in forge[1])
