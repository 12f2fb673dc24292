"""The audit log over HTTP: read, verified, exported. Reading takes time, so it leaves the loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.audit_archiving import ArchiveWish, AuditArchiving
from orchestrator.model.audit import AuditAction
from orchestrator.model.base import Model
from orchestrator.server.query import number
from orchestrator.server.who import user_of
from orchestrator.store.audit_archive import Pieces
from orchestrator.store.audit_chain import ChainedRecord, Verdict

EXPORT_BYTES: Final = 256 << 10
"""Of an export in memory at once."""


class UnknownAuditAction(OrchestratorError):
    """A filter that names no action."""

    kind, code = Kind.INVALID, "unknown_audit_action"


class AuditRequestInvalid(OrchestratorError):
    """An archive of another shape."""

    kind, code = Kind.INVALID, "audit_request_invalid"


class ArchiveRequest(Model):
    """`POST /v1/audit/archive`: an absolute path on the daemon's own machine."""

    folder: str
    before: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Seconds since the epoch."""
    why: Annotated[str, Field(max_length=1_000)] = ""


class AuditApi:
    """Four routes; nothing here can change a record."""

    def __init__(self, archiving: AuditArchiving) -> None:
        self._archiving = archiving
        self._log = archiving.log

    def routes(self) -> list[Route]:
        return [
            Route("/v1/audit", self.read, methods=["GET"]),
            Route("/v1/audit/verify", self.verify, methods=["GET"]),
            Route("/v1/audit/export", self.export, methods=["GET"]),
            Route("/v1/audit/archive", self.archive, methods=["POST"]),
        ]

    async def read(self, request: Request) -> Response:
        query = request.query_params
        action = query.get("type")
        if action is not None and action not in set(AuditAction):
            known = ", ".join(AuditAction)
            raise UnknownAuditAction(f"query: type: found {action!r}, expected one of {known}")
        since, count = number(request, "since"), int(number(request, "count", 100))
        records = await asyncio.to_thread(
            lambda: self._log.read(
                plugin=query.get("plugin"),
                since=since if "since" in query else None,
                action=AuditAction(action) if action is not None else None,
                limit=count,
            )
        )
        return JSONResponse([record_json(record) for record in records])

    async def verify(self, request: Request) -> Response:
        verdict = await asyncio.to_thread(self._log.verify)
        return JSONResponse(verdict_json(verdict))

    async def export(self, request: Request) -> Response:
        """Of any length; an error on the way ends the connection, which the client tells."""
        lines = self._log.export()

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(_piece, lines):
                yield piece

        return StreamingResponse(pieces(), media_type="application/x-ndjson")

    async def archive(self, request: Request) -> Response:
        try:
            body = ArchiveRequest.model_validate_json(await request.body() or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise AuditRequestInvalid(f"request body: {field}: {first['msg']}") from error
        folder = Path(body.folder)
        if not folder.is_absolute():
            raise AuditRequestInvalid(f"folder: found {body.folder!r}, expected an absolute path")
        wish = ArchiveWish(folder=folder, before=body.before, who=user_of(request), why=body.why)
        return JSONResponse(_archived(await self._archiving.archive(wish)))


def _piece(lines: Iterator[bytes]) -> bytes:
    """Some whole lines; nothing at the end."""
    found = bytearray()
    for line in lines:
        found += line
        if len(found) >= EXPORT_BYTES:
            break
    return bytes(found)


def _archived(pieces: Pieces | None) -> dict[str, JsonValue]:
    if pieces is None:
        return {"segments": 0, "records": 0, "bytes": 0}
    return {
        **pieces.data(),
        "segments": len(pieces.pieces),
        "records": pieces.end.sequence - pieces.first + 1,
        "bytes": sum(piece.bytes for piece in pieces.pieces),
    }


def record_json(record: ChainedRecord) -> dict[str, JsonValue]:
    """A record as it lies in the log."""
    return {
        "sequence": record.sequence,
        "previous_hash": record.previous_hash,
        "hash": record.hash,
        **record.entry,
    }


def verdict_json(verdict: Verdict) -> dict[str, JsonValue]:
    """Whether the log is whole; if not, the first record that is not."""
    return {
        "intact": verdict.intact,
        "records": verdict.records,
        "last": asdict(verdict.last),
        "first_break": asdict(verdict.first_break) if verdict.first_break is not None else None,
        "found": str(verdict.first_break) if verdict.first_break is not None else "",
    }
