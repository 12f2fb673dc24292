"""Exercise: which of its permissions a plugin was seen to use. Pure.

Only what passes something of ours can be seen: a broker, the network's meter, the size of a disk, a
call. A file that is read leaves no trace; for such a permission the answer is `not observable`, and
nobody is advised to take it away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from orchestrator.model.permissions import FileSystemWrite, Permission, PermissionKind
from orchestrator.monitoring.aggregates import Row
from orchestrator.monitoring.counts import BYTES, NETWORKED, REFUSED, USED, Level
from orchestrator.monitoring.sketch import Gauge
from orchestrator.sandbox.broker import RefusalCode

ADVISE_AFTER_SECONDS: Final = 7 * 86_400.0
"""What was not used within a day may be what a weekly task needs."""
EMPTY_DISK_BYTES: Final = 1 << 20
"""A disk with less on it holds nothing but its own bookkeeping."""

_BROKERED: Final = frozenset({PermissionKind.EXTERNAL_API, PermissionKind.DATABASE_ACCESS})
_REFUSED_BY: Final[Mapping[PermissionKind, frozenset[RefusalCode]]] = {
    PermissionKind.EXTERNAL_API: frozenset(
        {
            RefusalCode.HOST_MALFORMED,
            RefusalCode.HOST_NOT_ALLOWED,
            RefusalCode.IP_LITERAL_REFUSED,
            RefusalCode.ADDRESS_REFUSED,
            RefusalCode.SCHEME_REFUSED,
            RefusalCode.METHOD_REFUSED,
            RefusalCode.NAME_NOT_RESOLVED,
        }
    ),
    PermissionKind.PLUGIN_COMMUNICATION: frozenset(
        {
            RefusalCode.CALL_NOT_ALLOWED,
            RefusalCode.CALL_CYCLE,
            RefusalCode.CALL_TOO_DEEP,
            RefusalCode.EVENT_INVALID,
            RefusalCode.EVENT_NOT_DECLARED,
            RefusalCode.EVENTS_FULL,
        }
    ),
}
"""Codes that one broker alone refuses with."""
_REFUSED_BY_EITHER: Final = frozenset({RefusalCode.CONNECT_FAILED, RefusalCode.QUOTA_EXCEEDED})
"""What the brokers of hosts and of databases refuse with, and no other."""


class Verdict(StrEnum):
    USED = "used"
    UNUSED = "unused"
    UNCLEAR = "unclear"
    """Something was used, and it cannot be told which permission it was."""
    NOT_OBSERVABLE = "not_observable"


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionUse:
    """One permission that is granted."""

    permission: str
    verdict: Verdict
    evidence: str
    advise_drop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What a plugin left within a timeframe."""

    row: Row
    calls_of_others: int = 0
    """Calls in which it was the caller."""
    page_requests: int = 0
    watched_seconds: float = 0.0
    granted: frozenset[PermissionKind] = frozenset()


def uses(permissions: Sequence[Permission], traces: Traces) -> tuple[PermissionUse, ...]:
    """What is known of each, in the order in which they are granted."""
    kinds = [PermissionKind(permission.kind) for permission in permissions]
    long_enough = traces.watched_seconds >= ADVISE_AFTER_SECONDS
    traces = replace(traces, granted=frozenset(kinds))
    found = []
    for permission, kind in zip(permissions, kinds, strict=True):
        verdict, evidence = _verdict(permission, kind, traces)
        drop = long_enough and verdict is Verdict.UNUSED
        found.append(
            PermissionUse(permission=kind, verdict=verdict, evidence=evidence, advise_drop=drop)
        )
    return tuple(found)


def _verdict(permission: Permission, kind: PermissionKind, traces: Traces) -> tuple[Verdict, str]:
    match kind:
        case PermissionKind.EXTERNAL_API | PermissionKind.DATABASE_ACCESS:
            return _brokered(kind, traces)
        case PermissionKind.NETWORK_ACCESS:
            return _networked(traces.row)
        case PermissionKind.PLUGIN_COMMUNICATION:
            return _spoke(traces)
        case PermissionKind.USER_INTERFACE:
            number = traces.page_requests
            return _seen(number, f"{number} requests for its pages", "nobody opened its pages")
        case PermissionKind.FILE_SYSTEM_WRITE:
            return _written(permission, traces.row)
        case PermissionKind.FILE_SYSTEM_READ | PermissionKind.SYSTEM_INFO:
            return Verdict.NOT_OBSERVABLE, "reading a file leaves no trace outside"


def _brokered(kind: PermissionKind, traces: Traces) -> tuple[Verdict, str]:
    """What was refused was tried: who is advised to drop it loses what the plugin asks for."""
    row = traces.row
    passed = row.total(f"{BYTES}:{kind}")
    if passed:
        return Verdict.USED, f"{passed:.0f} bytes passed its broker"
    own = _refused(row, _REFUSED_BY.get(kind, frozenset()))
    if own:
        return Verdict.USED, f"{own} tries were refused, and nothing passed its broker"
    shared = _refused(row, _REFUSED_BY_EITHER)
    if shared and traces.granted >= _BROKERED:
        return Verdict.UNCLEAR, f"{shared} tries were refused, by its broker or another"
    if shared:
        return Verdict.USED, f"{shared} tries were refused, and nothing passed its broker"
    return Verdict.UNUSED, "nothing passed its broker, and it refused nothing"


def _refused(row: Row, codes: Iterable[str]) -> int:
    return sum(int(row.total(f"{REFUSED}:{code}")) for code in codes)


def _networked(row: Row) -> tuple[Verdict, str]:
    gauge = row.gauges.get(Level.NETWORK, Gauge())
    if not gauge.samples:
        return Verdict.NOT_OBSERVABLE, "its network was not measured within the timeframe"
    if not gauge.most:
        return Verdict.UNUSED, "not a byte passed"
    if any(row.total(f"{BYTES}:{kind}") for kind in NETWORKED):
        return Verdict.UNCLEAR, "bytes passed, and a broker that shares the meter had some of them"
    return Verdict.USED, f"up to {gauge.most:.0f} bytes within the network window"


def _spoke(traces: Traces) -> tuple[Verdict, str]:
    used = int(traces.row.total(f"{USED}:{PermissionKind.PLUGIN_COMMUNICATION}"))
    refused = _refused(traces.row, _REFUSED_BY[PermissionKind.PLUGIN_COMMUNICATION])
    words = (
        f"{used} events published, {traces.calls_of_others} calls of other plugins,"
        f" {refused} tries refused"
    )
    number = used + traces.calls_of_others + refused
    return _seen(number, words, "it called nobody and published nothing, and tried neither")


def _written(permission: Permission, row: Row) -> tuple[Verdict, str]:
    gauge = row.gauges.get(Level.DISK, Gauge())
    if gauge.samples and gauge.most > gauge.least:
        return Verdict.USED, f"/data grew or shrank, at most {gauge.most:.0f} bytes"
    if isinstance(permission, FileSystemWrite) and permission.shares:
        return Verdict.NOT_OBSERVABLE, "writing to a share leaves no trace outside"
    if not gauge.samples:
        return Verdict.NOT_OBSERVABLE, "/data was not measured within the timeframe"
    if gauge.most >= EMPTY_DISK_BYTES:
        return Verdict.NOT_OBSERVABLE, "/data holds something, which it may read or write over"
    return Verdict.UNUSED, "/data is empty, and stayed so"


def _seen(number: int, words: str, nothing: str) -> tuple[Verdict, str]:
    return (Verdict.USED, words) if number else (Verdict.UNUSED, nothing)
