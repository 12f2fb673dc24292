"""Rollouts over HTTP: what was wanted of a plugin, and back to it."""

from typing import Annotated

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.manager import OPERATOR
from orchestrator.manager.rollout_commands import RolloutCommands, Wish
from orchestrator.model.base import Model


class RolloutRequestInvalid(OrchestratorError):
    """A body of another shape."""

    kind, code = Kind.INVALID, "rollout_request_invalid"


class RolloutRequest(Model):
    """The body of undo, pause and resume."""

    who: Annotated[str, Field(min_length=1, max_length=100)] = OPERATOR
    why: Annotated[str, Field(max_length=1_000)] = ""
    to: Annotated[int, Field(ge=1)] | None = None
    """Only for undo: the revision to go back to."""


class RolloutApi:
    """One plugin a request."""

    def __init__(self, commands: RolloutCommands) -> None:
        self._commands = commands

    def routes(self) -> list[Route]:
        one = "/v1/plugins/{plugin_id}/rollout"
        return [
            Route(one, self.history, methods=["GET"]),
            Route(f"{one}/undo", self.undo, methods=["POST"]),
            Route(f"{one}/pause", self.pause, methods=["POST"]),
            Route(f"{one}/resume", self.resume, methods=["POST"]),
        ]

    async def history(self, request: Request) -> Response:
        return JSONResponse(self._commands.history(request.path_params["plugin_id"]))

    async def undo(self, request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await self._commands.undo(_wish(request, body), body.to))

    async def pause(self, request: Request) -> Response:
        return JSONResponse(await self._commands.pause(_wish(request, await _body(request))))

    async def resume(self, request: Request) -> Response:
        return JSONResponse(await self._commands.resume(_wish(request, await _body(request))))


def _wish(request: Request, body: RolloutRequest) -> Wish:
    return Wish(plugin_id=request.path_params["plugin_id"], who=body.who, why=body.why)


async def _body(request: Request) -> RolloutRequest:
    try:
        return RolloutRequest.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise RolloutRequestInvalid(f"request body: {field}: {first['msg']}") from error
