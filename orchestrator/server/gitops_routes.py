"""GitOps over HTTP: which repository is followed, how it stands, and what operators say to it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.commands import GitOpsCommands, Wish
from orchestrator.manager.manager import OPERATOR
from orchestrator.model.base import Model
from orchestrator.model.gitops import GitOpsStatus
from orchestrator.server.webhook import Webhook

T = TypeVar("T", bound=Model)


class GitOpsRequestInvalid(OrchestratorError):
    """A body of another shape."""

    kind, code = Kind.INVALID, "gitops_request_invalid"


class GitOpsRequest(Model):
    """The body of every command."""

    who: Annotated[str, Field(min_length=1, max_length=100)] = OPERATOR
    why: Annotated[str, Field(max_length=1_000)] = ""
    prune: bool = False
    """Only for sync: what git no longer has may go."""
    to: Annotated[str, Field(max_length=100)] = ""
    """Only for rollback: the beginning of a commit's id."""


class FollowRequest(Model):
    """The body of `PUT /v1/gitops`; what is left out is as `git` in the file says."""

    who: Annotated[str, Field(min_length=1, max_length=100)] = OPERATOR
    config: str | None = None
    url: str | None = None
    ref: str | None = None
    path: str | None = None
    environment: str | None = None
    monitoring: bool | None = None
    """Whether the monitoring stack is to run, whatever the file says; None: as it was."""


class GitOpsApi:
    """One repository; `status` says how it stands now."""

    def __init__(self, *, commands: GitOpsCommands, webhook: Webhook) -> None:
        self.commands = commands
        self.webhook = webhook

    def routes(self) -> list[Route]:
        return [
            Route("/v1/gitops", self.show, methods=["GET"]),
            Route("/v1/gitops", self.follow, methods=["PUT"]),
            Route("/v1/gitops/history", self.history, methods=["GET"]),
            Route("/v1/gitops/diff", self.diff, methods=["GET"]),
            Route("/v1/gitops/sync", self.sync, methods=["POST"]),
            Route("/v1/gitops/rollback", self.rollback, methods=["POST"]),
            Route("/v1/gitops/suspend", self.suspend, methods=["POST"]),
            Route("/v1/gitops/resume", self.resume, methods=["POST"]),
            *self.webhook.routes(),
        ]

    async def show(self, request: Request) -> Response:
        return JSONResponse(as_json(self.commands.status()))

    async def follow(self, request: Request) -> Response:
        body = await _body(request, FollowRequest)
        named = body.model_dump(include={"url", "ref", "path", "environment"})
        over = {name: value for name, value in named.items() if value is not None}
        config = Path(body.config) if body.config is not None else None
        source = await self.commands.follow(
            Wish(who=body.who), config, over, monitoring=body.monitoring
        )
        return JSONResponse({"url": source.url, "ref": source.ref, "path": source.path})

    async def history(self, request: Request) -> Response:
        return JSONResponse(self.commands.history())

    async def diff(self, request: Request) -> Response:
        return JSONResponse(await self.commands.diff())

    async def sync(self, request: Request) -> Response:
        body = await _body(request, GitOpsRequest)
        return JSONResponse(self.commands.sync(_wish(body), prune=body.prune))

    async def rollback(self, request: Request) -> Response:
        body = await _body(request, GitOpsRequest)
        return JSONResponse(self.commands.rollback(_wish(body), body.to))

    async def suspend(self, request: Request) -> Response:
        return JSONResponse(self.commands.suspend(_wish(await _body(request, GitOpsRequest))))

    async def resume(self, request: Request) -> Response:
        return JSONResponse(self.commands.resume(_wish(await _body(request, GitOpsRequest))))


def as_json(status: GitOpsStatus | None) -> dict[str, JsonValue]:
    """`{"followed": false}` while no repository is."""
    return {"followed": status is not None, **(asdict(status) if status is not None else {})}


def _wish(body: GitOpsRequest) -> Wish:
    return Wish(who=body.who, why=body.why)


async def _body(request: Request, model: type[T]) -> T:
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise GitOpsRequestInvalid(f"request body: {field}: {first['msg']}") from error
