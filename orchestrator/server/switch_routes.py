"""Start, stop and remove over HTTP: one plugin a request, its files left as they are."""

from typing import Annotated

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.manager import OPERATOR
from orchestrator.manager.rollout_commands import Wish
from orchestrator.manager.switch import Switch
from orchestrator.model.base import Model


class SwitchRequestInvalid(OrchestratorError):
    """A body of another shape."""

    kind, code = Kind.INVALID, "switch_request_invalid"


class SwitchRequest(Model):
    """The body of start, stop and remove."""

    who: Annotated[str, Field(min_length=1, max_length=100)] = OPERATOR
    why: Annotated[str, Field(max_length=1_000)] = ""


class SwitchApi:
    """Each answers whether it changed what is wanted."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def routes(self) -> list[Route]:
        one = "/v1/plugins/{plugin_id}"
        return [
            Route(f"{one}/start", self.start, methods=["POST"]),
            Route(f"{one}/stop", self.stop, methods=["POST"]),
            Route(f"{one}/remove", self.remove, methods=["POST"]),
        ]

    async def start(self, request: Request) -> Response:
        return JSONResponse({"changed": await self._switch.start(await _wish(request))})

    async def stop(self, request: Request) -> Response:
        return JSONResponse({"changed": await self._switch.stop(await _wish(request))})

    async def remove(self, request: Request) -> Response:
        return JSONResponse({"changed": await self._switch.remove(await _wish(request))})


async def _wish(request: Request) -> Wish:
    try:
        body = SwitchRequest.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise SwitchRequestInvalid(f"request body: {field}: {first['msg']}") from error
    return Wish(plugin_id=request.path_params["plugin_id"], who=body.who, why=body.why)
