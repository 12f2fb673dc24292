"""Backups over HTTP: the daemon writes the file itself, on its own machine."""

from pathlib import Path

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.backups import Backups, summary
from orchestrator.model.base import Model
from orchestrator.server.who import user_of


class BackupRequestInvalid(OrchestratorError):
    """A request of another shape."""

    kind, code = Kind.INVALID, "backup_request_invalid"


class BackupRequest(Model):
    """`POST /v1/backup`: an absolute path on the daemon's own machine, where nothing is yet."""

    path: str
    volumes: bool = True


def backup_route(backups: Backups) -> Route:
    async def make(request: Request) -> Response:
        try:
            wish = BackupRequest.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise BackupRequestInvalid(f"request body: {field}: {first['msg']}") from error
        path = Path(wish.path)
        if not path.is_absolute():
            raise BackupRequestInvalid(f"path: found {wish.path!r}, expected an absolute path")
        made = await backups.make(path, with_volumes=wish.volumes, who=user_of(request))
        return JSONResponse(summary(made))

    return Route("/v1/backup", make, methods=["POST"])
