"""`POST /v1/code`: run handed-in code. How the code ended is an answer, not an HTTP error."""

from typing import Annotated, Final, Self

from pydantic import Field, JsonValue, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.base import Model, Unexpected
from orchestrator.model.manifest import LimitsOverride
from orchestrator.model.permissions import Permission
from orchestrator.sandbox.code import CodeSandbox
from orchestrator.sandbox.code_result import to_json
from orchestrator.server.who import user_of

MAX_BODY_BYTES: Final = 16 << 20


class CodeRequestRefused(OrchestratorError):
    """The request is no run of code, or larger than one may be."""

    kind, code = Kind.INVALID, "code_request_invalid"


class CodeRequest(Model):
    """What is to be run; only `code` is needed."""

    code: str
    context: JsonValue = None
    language: str = "python"
    permissions: Annotated[tuple[Permission, ...], Field(strict=False)] = ()
    limits: LimitsOverride = LimitsOverride()
    timeout_seconds: float | None = None

    @model_validator(mode="after")
    def _grants_only(self) -> Self:
        """As in a manifest: each once, and nothing that only plugin.yaml may say."""
        for permission in self.permissions:
            if permission.required or permission.reason:
                raise Unexpected(
                    found=f"'required' or 'reason' of {permission.kind}",
                    expected="them in plugin.yaml only",
                )
        kinds = [permission.kind for permission in self.permissions]
        if twins := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            raise Unexpected(
                found=f"{', '.join(twins)} more than once", expected="every permission once"
            )
        return self


def code_route(sandbox: CodeSandbox) -> Route:
    """The route; its application turns OrchestratorError into a problem."""

    async def run_code(request: Request) -> Response:
        wish = _parse(await _body(request))
        result = await sandbox.execute_plugin_code(
            wish.code,
            wish.context,
            language=wish.language,
            permissions=wish.permissions,
            limits=wish.limits,
            timeout_seconds=wish.timeout_seconds,
            user=user_of(request),
        )
        return Response(to_json(result), media_type="application/json")

    return Route("/v1/code", run_code, methods=["POST"])


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise CodeRequestRefused(
                f"request body: found more than {MAX_BODY_BYTES} bytes, expected at most that"
            )
    return bytes(body)


def _parse(body: bytes) -> CodeRequest:
    try:
        return CodeRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CodeRequestRefused(f"request body: {field}: {first['msg']}") from error
