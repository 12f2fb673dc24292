"""Broker: what stands behind one socket of one plugin, and how it refuses.

A plugin's fault is a value: it gets an RFC 9457 problem with a stable code, the operator an entry
in the audit log and a count. Nothing here raises an error of ours.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from pydantic import JsonValue

from orchestrator.errors import Kind
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.sandbox.audit_ledger import AuditLedger

PROBLEM_TYPE: Final = "application/problem+json"


class Broker(Protocol):
    """One socket in a sandbox's folder; it exists for as long as the permission is granted."""

    async def open(self, folder: Path) -> None:
        """Listen in `folder`, which the container sees read-only."""

    def close(self) -> None:
        """Take the socket away and end every connection now; quiet if it is not open."""


class RefusalCode(StrEnum):
    """Why a broker says no; docs/errors.md explains each."""

    MALFORMED_REQUEST = "malformed_request"
    REQUEST_TIMEOUT = "request_timeout"
    REQUEST_TOO_LARGE = "request_too_large"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    UNKNOWN_ENDPOINT = "unknown_endpoint"

    EVENT_INVALID = "event_invalid"
    EVENT_NOT_DECLARED = "event_not_declared"
    EVENTS_FULL = "events_full"
    STORE_UNAVAILABLE = "store_unavailable"
    CALL_NOT_ALLOWED = "call_not_allowed"
    CALL_CYCLE = "call_cycle"
    CALL_TOO_DEEP = "call_too_deep"
    DEADLINE_EXCEEDED = "deadline_exceeded"

    HOST_MALFORMED = "host_malformed"
    HOST_NOT_ALLOWED = "host_not_allowed"
    IP_LITERAL_REFUSED = "ip_literal_refused"
    ADDRESS_REFUSED = "address_refused"
    SCHEME_REFUSED = "scheme_refused"
    METHOD_REFUSED = "method_refused"
    QUOTA_EXCEEDED = "quota_exceeded"
    NAME_NOT_RESOLVED = "name_not_resolved"
    CONNECT_FAILED = "connect_failed"


# 403 and `denied` where no row stands: the permission does not reach that far.
_STATUS: Final[Mapping[RefusalCode, tuple[int, Kind]]] = MappingProxyType(
    {
        RefusalCode.MALFORMED_REQUEST: (400, Kind.INVALID),
        RefusalCode.REQUEST_TIMEOUT: (408, Kind.TIMEOUT),
        RefusalCode.REQUEST_TOO_LARGE: (413, Kind.INVALID),
        RefusalCode.RATE_LIMITED: (429, Kind.OVERLOADED),
        RefusalCode.TOO_MANY_CONNECTIONS: (503, Kind.OVERLOADED),
        RefusalCode.UNKNOWN_ENDPOINT: (404, Kind.NOT_FOUND),
        RefusalCode.EVENT_INVALID: (422, Kind.INVALID),
        RefusalCode.EVENTS_FULL: (429, Kind.OVERLOADED),
        RefusalCode.STORE_UNAVAILABLE: (507, Kind.EXHAUSTED),
        RefusalCode.DEADLINE_EXCEEDED: (504, Kind.TIMEOUT),
        RefusalCode.QUOTA_EXCEEDED: (429, Kind.OVERLOADED),
        RefusalCode.NAME_NOT_RESOLVED: (502, Kind.UNAVAILABLE),
        RefusalCode.CONNECT_FAILED: (502, Kind.UNAVAILABLE),
    }
)
_DENIED: Final = (403, Kind.DENIED)
_REPEATED: Final = frozenset(
    {
        RefusalCode.RATE_LIMITED,
        RefusalCode.TOO_MANY_CONNECTIONS,
        RefusalCode.QUOTA_EXCEEDED,
        RefusalCode.EVENTS_FULL,
        RefusalCode.STORE_UNAVAILABLE,
    }
)
"""A client meets them again and again by its nature."""
_FAILED: Final = frozenset(
    {
        RefusalCode.NAME_NOT_RESOLVED,
        RefusalCode.CONNECT_FAILED,
        RefusalCode.STORE_UNAVAILABLE,
    }
)


class Refused(Exception):
    """How a refusal gets from where it is found to the connection it answers; never further."""

    def __init__(
        self,
        code: RefusalCode,
        detail: str,
        *,
        evidence: Mapping[str, JsonValue] | None = None,
        retry_after_seconds: int = 1,
    ) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.evidence = dict(evidence or {})
        self.retry_after_seconds = retry_after_seconds

    @property
    def status(self) -> int:
        return _STATUS.get(self.code, _DENIED)[0]


def problem(refused: Refused) -> bytes:
    """The body of a refusal, as application/problem+json."""
    status, kind = _STATUS.get(refused.code, _DENIED)
    return json.dumps(
        {
            "type": f"urn:orchestrator:error:{refused.code}",
            "title": refused.code.replace("_", " "),
            "status": status,
            "code": refused.code,
            "kind": kind,
            "detail": refused.detail,
        }
    ).encode()


class RefusalLog:
    """Counts every refusal of one plugin and takes it down, within the ledger's bound."""

    def __init__(
        self,
        *,
        plugin_id: str,
        action: AuditAction,
        ledger: AuditLedger,
        now: Callable[[], float],
        repeated: frozenset[RefusalCode] = frozenset(),
        total: Counter[str] | None = None,
    ) -> None:
        """`repeated`: what else comes again and again; `total` counts beyond this log's life."""
        self.counts: Counter[RefusalCode] = Counter()
        self._total: Counter[str] = Counter() if total is None else total
        self._plugin_id = plugin_id
        self._action = action
        self._ledger = ledger
        self._now = now
        self._repeated = _REPEATED | repeated

    def note(self, refused: Refused) -> None:
        """One refusal. A plugin that repeats it without end fills no disk of ours."""
        code = refused.code
        self.counts[code] += 1
        self._total[code] += 1
        quota = code is RefusalCode.QUOTA_EXCEEDED
        entry = AuditEntry(
            at=self._now(),
            actor=f"plugin:{self._plugin_id}",
            action=AuditAction.QUOTA if quota else self._action,
            outcome=AuditOutcome.FAILED if code in _FAILED else AuditOutcome.REFUSED,
            plugin_id=self._plugin_id,
            why=refused.detail,
            data={"code": code, **refused.evidence},
        )
        self._ledger.note(entry, kind=code, target=refused.evidence, repeats=code in self._repeated)
