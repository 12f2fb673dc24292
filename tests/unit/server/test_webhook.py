"""The webhook: whoever knows the secret may say that something was pushed, and nobody else."""

import asyncio
import contextlib
import hashlib
import hmac
import http.client
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.git import GitWebhook
from orchestrator.model.secret_source import SecretFile
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.server import loopback, webhook
from orchestrator.server.webhook import MAX_BODY_BYTES, PATH, Webhook, WebhookListener, is_signed
from tests.unit.sandbox.broker_house import MemoryAuditor

SECRET = b"a secret of some length"
BODY = b'{"ref": "refs/heads/main"}'
NOW = 1_700_000_000.0
DIGEST = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()


class Hooked:
    """A listener on a free port of loopback, and how often it was told of a push."""

    def __init__(self, folder: Path, secret: bytes = SECRET) -> None:
        file = folder / "secret"
        file.write_bytes(secret + b"\n")
        self.config: GitWebhook | None = GitWebhook(port=0, secret=SecretFile(file=str(file)))
        self.pushes = 0
        self.auditor = MemoryAuditor()
        webhook = Webhook(
            wanted=lambda: self.config,
            pushed=self._pushed,
            ledger=AuditLedger(auditor=self.auditor, now=self.now, monotonic=self.monotonic),
            clock=self,
        )
        self.webhook = webhook
        self.listener = WebhookListener(webhook, wanted=lambda: self.config)

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return NOW

    def _pushed(self) -> None:
        self.pushes += 1

    @asynccontextmanager
    async def listens(self) -> AsyncIterator["Hooked"]:
        await self.listener.settle()
        try:
            yield self
        finally:
            self.listener.close()

    async def post(
        self, headers: Mapping[str, str], body: bytes = BODY, path: str = PATH, method: str = "POST"
    ) -> int:
        return await asyncio.to_thread(self._post, headers, body, path, method)

    def _post(self, headers: Mapping[str, str], body: bytes, path: str, method: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.listener.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": f"sha256={DIGEST}"},
        {"X-Gitea-Signature": DIGEST},
        {"X-Forgejo-Signature": DIGEST},
        {"X-Gitlab-Token": SECRET.decode()},
    ],
)
async def test_each_forge_is_believed_in_its_own_way(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    async with Hooked(tmp_path).listens() as hooked:
        assert await hooked.post(headers) == 202
        assert hooked.pushes == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": DIGEST},
        {"X-Hub-Signature": f"sha1={DIGEST}"},
        {"X-Gitea-Signature": f"sha256={DIGEST}"},
        {"X-Gitlab-Token": "a secret of some lengt"},
        {"X-Gitlab-Token": DIGEST},
        {"Authorization": SECRET.decode()},
    ],
)
async def test_a_wrong_signature_is_refused_and_nothing_follows(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    async with Hooked(tmp_path).listens() as hooked:
        assert await hooked.post(headers) == 403
        assert hooked.pushes == 0


async def test_a_signature_is_of_one_body_alone(tmp_path: Path) -> None:
    async with Hooked(tmp_path).listens() as hooked:
        assert await hooked.post({"X-Hub-Signature-256": f"sha256={DIGEST}"}, BODY + b" ") == 403
        assert hooked.pushes == 0


async def test_a_secret_that_could_be_guessed_lets_nobody_in(tmp_path: Path) -> None:
    async with Hooked(tmp_path, b"short").listens() as hooked:
        assert await hooked.post({"X-Gitlab-Token": "short"}) == 403
    async with Hooked(tmp_path, b"").listens() as hooked:
        assert await hooked.post({"X-Gitlab-Token": ""}) == 403


async def test_there_is_one_path_and_nothing_else_of_the_api(tmp_path: Path) -> None:
    async with Hooked(tmp_path).listens() as hooked:
        signed = {"X-Gitlab-Token": SECRET.decode()}
        for path in ("/", "/v1/status", "/v1/gitops", "/v1/gitops/sync", "/v1/shutdown"):
            assert await hooked.post(signed, path=path) == 404
        assert await hooked.post(signed, method="GET") == 405
        assert hooked.pushes == 0


async def test_a_body_without_end_is_cut_off(tmp_path: Path) -> None:
    async with Hooked(tmp_path).listens() as hooked:
        large = b"x" * (MAX_BODY_BYTES + 1)
        try:
            status = await hooked.post({"X-Gitlab-Token": SECRET.decode()}, large)
        except (BrokenPipeError, ConnectionResetError):
            status = 422  # it was cut off before all of it was sent
        assert status == 422
        assert hooked.pushes == 0


async def test_who_says_nothing_keeps_nobody_out_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "HEAD_SECONDS", 0.3)
    async with Hooked(tmp_path).listens() as hooked, AsyncExitStack() as stack:
        begun = f"POST {PATH} HTTP/1.1\r\nHost: ".encode()
        for number in range(loopback.MAX_CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", hooked.listener.port)
            stack.callback(writer.close)
            writer.write(begun if number % 2 else b"")
        with pytest.raises((http.client.HTTPException, OSError)):
            await hooked.post({"X-Gitlab-Token": SECRET.decode()})
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        assert await hooked.post({"X-Gitlab-Token": SECRET.decode()}) == 202


async def test_a_body_that_goes_on_after_its_answer_keeps_nobody_out_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(webhook, "BODY_SECONDS", 0.1)
    async with Hooked(tmp_path).listens() as hooked, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", hooked.listener.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n".encode())
        assert b" 422 " in await reader.readline()
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await reader.read(1_000)
        writer.close()


async def test_a_head_without_end_is_cut_off(tmp_path: Path) -> None:
    async with Hooked(tmp_path).listens() as hooked, asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", hooked.listener.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nX-Long: ".encode())
        with pytest.raises(ConnectionError):
            await _without_end(writer)
        writer.close()


async def _without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def test_it_listens_on_loopback_only_and_only_while_it_is_wanted(tmp_path: Path) -> None:
    hooked = Hooked(tmp_path)
    async with hooked.listens():
        assert hooked.listener._server is not None
        servers = hooked.listener._server._servers
        hosts = {s.getsockname()[0] for server in servers for s in server.sockets}
        assert "127.0.0.1" in hosts
        assert hosts <= {"127.0.0.1", "::1"}
        port = hooked.listener.port
        hooked.config = None
        await hooked.listener.settle()
        assert hooked.listener.port == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    first, second = Hooked(tmp_path), Hooked(tmp_path / "2")
    async with first.listens():
        assert second.config is not None
        second.config = second.config.model_copy(update={"port": first.listener.port})
        async with second.listens():
            assert f"git.webhook.port: found {first.listener.port}" in second.listener.trouble


@given(st.dictionaries(
    st.sampled_from(["x-hub-signature-256", "x-gitea-signature", "x-gitlab-token"]), st.text()
))  # fmt: skip
def test_no_words_of_any_kind_stand_in_for_the_secret(headers: dict[str, str]) -> None:
    assert not is_signed(headers, DIGEST.encode(), SECRET)


async def test_wrong_signatures_are_in_the_audit_log_in_sums(tmp_path: Path) -> None:
    hooked = Hooked(tmp_path)
    async with hooked.listens():
        for _ in range(30):
            await hooked.post({"x-hub-signature-256": "sha256=" + "0" * 64})
    hooked.webhook.close()
    entries = hooked.auditor.entries

    assert len(entries) == 2
    assert {(it.actor, str(it.action), str(it.outcome)) for it in entries} == {
        ("webhook", "git_sync", "refused")
    }
    assert sum(int(str(it.data.get("times", 1))) for it in entries) == 30
    assert entries[0].data["code"] == "webhook_refused"
