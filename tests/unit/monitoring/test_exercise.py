"""Which permissions were used: what shows it, and where nobody can tell."""

import pytest

from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    Permission,
    PermissionKind,
    PluginCommunication,
    SystemInfo,
    UserInterface,
)
from orchestrator.monitoring.aggregates import Row
from orchestrator.monitoring.counts import Level
from orchestrator.monitoring.exercise import ADVISE_AFTER_SECONDS, Traces, Verdict, uses
from orchestrator.monitoring.sketch import Gauge

API, DATABASE, NETWORK = ExternalApi(), DatabaseAccess(), NetworkAccess()
WRITE, TALK, PAGES = FileSystemWrite(), PluginCommunication(), UserInterface()


def _disk(*values: float) -> Row:
    return Row(gauges={Level.DISK: Gauge.merged([Gauge.of(value) for value in values])})


def _network(value: float, **counts: float) -> Row:
    named = {name.replace("__", ":"): number for name, number in counts.items()}
    return Row(gauges={Level.NETWORK: Gauge.of(value)}, counts=named)


@pytest.mark.parametrize(
    ("permission", "traces", "verdict"),
    [
        (API, Traces(row=Row(counts={"bytes:external_api": 7.0})), Verdict.USED),
        (API, Traces(row=Row(counts={"bytes:database_access": 7.0})), Verdict.UNUSED),
        (DATABASE, Traces(row=Row(counts={"bytes:database_access": 7.0})), Verdict.USED),
        (DATABASE, Traces(row=Row()), Verdict.UNUSED),
        (NETWORK, Traces(row=_network(900.0)), Verdict.USED),
        (NETWORK, Traces(row=_network(0.0)), Verdict.UNUSED),
        (NETWORK, Traces(row=_network(9.0, bytes__external_api=9.0)), Verdict.UNCLEAR),
        (NETWORK, Traces(row=Row()), Verdict.NOT_OBSERVABLE),
        (TALK, Traces(row=Row(), calls_of_others=1), Verdict.USED),
        (TALK, Traces(row=Row(counts={"used:plugin_communication": 1.0})), Verdict.USED),
        (TALK, Traces(row=Row()), Verdict.UNUSED),
        (PAGES, Traces(row=Row(), page_requests=3), Verdict.USED),
        (PAGES, Traces(row=Row()), Verdict.UNUSED),
        (WRITE, Traces(row=_disk(20_000.0, 24_000.0)), Verdict.USED),
        (WRITE, Traces(row=_disk(20_000.0, 20_000.0)), Verdict.UNUSED),
        (WRITE, Traces(row=_disk(9e6, 9e6)), Verdict.NOT_OBSERVABLE),
        (WRITE, Traces(row=Row()), Verdict.NOT_OBSERVABLE),
        (FileSystemWrite(shares=("inbox",)), Traces(row=_disk(0.0)), Verdict.NOT_OBSERVABLE),
        (FileSystemRead(shares=("inbox",)), Traces(row=Row()), Verdict.NOT_OBSERVABLE),
        (SystemInfo(), Traces(row=Row()), Verdict.NOT_OBSERVABLE),
    ],
)
def test_a_trace_says_whether_a_permission_was_used(
    permission: Permission, traces: Traces, verdict: Verdict
) -> None:
    [use] = uses([permission], traces)

    assert (use.permission, use.verdict) == (permission.kind, verdict)
    assert use.evidence


@pytest.mark.parametrize(
    ("granted", "code", "verdicts"),
    [
        ((API,), "host_not_allowed", (Verdict.USED,)),
        ((API,), "quota_exceeded", (Verdict.USED,)),
        ((DATABASE,), "connect_failed", (Verdict.USED,)),
        ((DATABASE,), "host_not_allowed", (Verdict.UNUSED,)),
        ((API, DATABASE), "address_refused", (Verdict.USED, Verdict.UNUSED)),
        ((API, DATABASE), "connect_failed", (Verdict.UNCLEAR, Verdict.UNCLEAR)),
        ((API, TALK), "call_not_allowed", (Verdict.UNUSED, Verdict.USED)),
        ((TALK,), "event_not_declared", (Verdict.USED,)),
        ((API, DATABASE, TALK), "malformed_request", (Verdict.UNUSED,) * 3),
    ],
)
def test_what_was_tried_and_refused_was_used(
    granted: tuple[Permission, ...], code: str, verdicts: tuple[Verdict, ...]
) -> None:
    row = Row(counts={f"refused:{code}": 3.0})
    found = uses(granted, Traces(row=row, watched_seconds=ADVISE_AFTER_SECONDS))

    assert tuple(one.verdict for one in found) == verdicts
    assert [one.advise_drop for one in found] == [it is Verdict.UNUSED for it in verdicts]


@pytest.mark.parametrize(
    ("seconds", "advised"), [(ADVISE_AFTER_SECONDS - 1, 0), (ADVISE_AFTER_SECONDS, 1)]
)
def test_only_what_was_watched_for_a_week_is_advised_to_be_dropped(
    seconds: float, advised: int
) -> None:
    [use] = uses([API], Traces(row=Row(), watched_seconds=seconds))

    assert use.advise_drop == bool(advised)


def test_nobody_is_advised_to_drop_what_cannot_be_seen_or_was_used() -> None:
    every = [API, DATABASE, NETWORK, WRITE, TALK, PAGES, FileSystemRead(), SystemInfo()]
    row = _network(9.0, bytes__external_api=9.0, used__plugin_communication=1.0)

    found = uses(every, Traces(row=row, page_requests=1, watched_seconds=1e9))

    assert [use.permission for use in found if use.advise_drop] == [PermissionKind.DATABASE_ACCESS]
