"""Webhook: a forge says that something was pushed; and a listener that serves that path alone.

All that a good signature brings about is a look at the remote, soon: what is taken up is what the
remote has, whatever the message says. The daemon's own API is on a socket that only the operator
may open, so forges, and proxies before them, get a port of loopback with nothing else behind it.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.clock import Clock
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.secrets import read_secret
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.model.git import GitWebhook
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.server.loopback import LoopbackServer
from orchestrator.server.problems import PROBLEM_TYPE, error_problem
from orchestrator.server.standard_webhooks import (
    MIN_KEY_BYTES,
    has_signature,
    signed_head,
    signing_key,
)

PATH: Final = "/v1/gitops/webhook"
MAX_BODY_BYTES: Final = 4 << 20
BODY_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0


class WebhookRefused(OrchestratorError):
    """Nobody who knows the secret sent this."""

    kind, code = Kind.DENIED, "webhook_refused"


class WebhookInvalid(OrchestratorError):
    """A message that is too large or too slow."""

    kind, code = Kind.INVALID, "webhook_invalid"


class Webhook:
    """`wanted` says which secret holds now, None that none does; `pushed` is told of each push."""

    def __init__(
        self,
        *,
        wanted: Callable[[], GitWebhook | None],
        pushed: Callable[[], None],
        ledger: AuditLedger,
        clock: Clock,
    ) -> None:
        self._wanted = wanted
        self._pushed = pushed
        self._ledger = ledger
        self._clock = clock

    def close(self) -> None:
        """Tell the audit log of what was held back."""
        self._ledger.close()

    def routes(self) -> list[Route]:
        return [Route(PATH, self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """202, whatever was pushed. Raises WebhookRefused, WebhookInvalid."""
        try:
            return await self._receive(request)
        except (WebhookRefused, WebhookInvalid) as error:
            self._refused(error)
            raise

    def _refused(self, error: OrchestratorError) -> None:
        """Anybody who reaches the port may send what they like: sums, in a flood."""
        data: dict[str, JsonValue] = {"code": error.code}
        entry = AuditEntry(
            at=self._clock.now(),
            actor="webhook",
            action=AuditAction.GIT_SYNC,
            outcome=AuditOutcome.REFUSED,
            why=str(error),
            data=data,
        )
        self._ledger.note(entry, kind=error.code, target={}, repeats=True)

    async def _receive(self, request: Request) -> Response:
        webhook = self._wanted()
        if webhook is None:
            raise WebhookRefused("git.webhook: found none, expected a secret to know senders by")
        given = await asyncio.to_thread(
            read_secret, Path(webhook.secret.file), "git.webhook.secret.file"
        )
        secret, headers = given.strip(), request.headers
        head, key = signed_head(headers, self._clock.now()), signing_key(secret)
        plain = hmac.new(secret, digestmod=hashlib.sha256)
        standard = hmac.new(key, head, digestmod=hashlib.sha256)
        await _take(request, (plain, standard))
        fits = is_signed(headers, plain.hexdigest().encode(), secret)
        if head and len(key) >= MIN_KEY_BYTES:
            fits = has_signature(headers, standard.digest()) or fits
        if not fits:
            raise WebhookRefused("found no signature or token that fits, expected one of a forge")
        self._pushed()
        return JSONResponse({"accepted": True}, status_code=202)


def is_signed(headers: Mapping[str, str], digest: bytes, secret: bytes) -> bool:
    """Whether a forge that knows the secret sent it; as long in the answer for yes as for no. Pure.

    GitHub and Gitea sign the body (`digest`, in hexadecimal, is its HMAC); GitLab sends the secret
    itself, unless it signs as Standard Webhooks. A short secret fits nothing: it could be guessed.
    """
    if len(secret) < MIN_KEY_BYTES:
        return False
    given = (
        (headers.get("x-hub-signature-256", ""), b"sha256=" + digest),
        (headers.get("x-gitea-signature", ""), digest),
        (headers.get("x-forgejo-signature", ""), digest),
        (headers.get("x-gitlab-token", ""), secret),
    )
    # All of them, so that which one fits is not told by the time it takes.
    fits = [hmac.compare_digest(text.encode("latin-1", "replace"), want) for text, want in given]
    return any(fits)


class WebhookListener:
    """Listens on loopback while `git.webhook` says so."""

    def __init__(self, webhook: Webhook, *, wanted: Callable[[], GitWebhook | None]) -> None:
        self._webhook = webhook
        self._wanted = wanted
        self._asked: int | None = None
        self._server: LoopbackServer | None = None
        self.trouble = ""
        """Why it does not listen though it should."""

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        return self._server.port if self._server is not None else 0

    async def run(self) -> None:
        """Until it is cancelled; then nobody listens any more."""
        try:
            while True:
                await self.settle()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.close()
            self._webhook.close()

    async def settle(self) -> None:
        """Listen as is wanted now; what stands in the way is in `trouble`."""
        webhook = self._wanted()
        port = webhook.port if webhook is not None else None
        if port == self._asked:
            return
        self.close()
        if port is None:
            return
        try:
            self._server = await LoopbackServer.open(port, self._app_at)
            self._asked = port
        except OSError as error:
            self.trouble = (
                f"git.webhook.port: found {port} ({error.strerror or error}), expected a free one"
            )

    def close(self) -> None:
        """Nobody listens, and every connection ends."""
        if self._server is not None:
            self._server.close()
        self._server, self._asked, self.trouble = None, None, ""

    def _app_at(self, port: int) -> Starlette:
        routes = self._webhook.routes()
        return Starlette(routes=routes, exception_handlers={OrchestratorError: _problem})


async def _take(request: Request, signatures: Sequence[hmac.HMAC]) -> None:
    """The body into each of them; nothing of it is kept: nobody knows yet whose it is."""
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise WebhookInvalid(f"found more than {MAX_BODY_BYTES} bytes")
                for signature in signatures:
                    signature.update(chunk)
    except (TimeoutError, ClientDisconnect) as error:
        raise WebhookInvalid(f"found no whole body within {BODY_SECONDS:g} s") from error


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, OrchestratorError):
        raise error
    status, body = error_problem(error)
    return Response(body, status_code=status, media_type=PROBLEM_TYPE)
