"""The audit log over HTTP: read, verified, exported. Reading takes time, so it leaves the loop."""

import asyncio
import io
from dataclasses import asdict

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.audit import AuditAction
from orchestrator.server.query import number
from orchestrator.store.audit_chain import ChainedRecord, Verdict
from orchestrator.store.audit_log import AuditLog


class UnknownAuditAction(OrchestratorError):
    """A filter that names no action."""

    kind, code = Kind.INVALID, "unknown_audit_action"


class AuditApi:
    """Three routes; nothing here can change a record."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def routes(self) -> list[Route]:
        return [
            Route("/v1/audit", self.read, methods=["GET"]),
            Route("/v1/audit/verify", self.verify, methods=["GET"]),
            Route("/v1/audit/export", self.export, methods=["GET"]),
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
        target = io.BytesIO()
        await asyncio.to_thread(self._log.export, target)
        return Response(target.getvalue(), media_type="application/x-ndjson")


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
