"""What a plugin does without end costs the audit log a bounded part, and none of it is left out."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.sandbox.audit_ledger import (
    ENTRIES_BURST,
    ENTRIES_PER_MINUTE,
    MAX_TARGETS,
    QUIET_SECONDS,
    AuditLedger,
)
from orchestrator.sandbox.broker import RefusalCode, RefusalLog, Refused
from orchestrator.sandbox.egress_broker import EgressBounds
from orchestrator.sandbox.host_api import HostBounds
from orchestrator.store.audit_chain import GENESIS, encode, link
from tests.unit.sandbox.broker_house import MemoryAuditor, ask, until
from tests.unit.sandbox.egress_house import connect, echo, egress_house, get, upstream
from tests.unit.sandbox.host_house import execute, host_house

RATE = 50
"""Requests a second that host.sock lets pass."""
RECORD_BYTES = 1_400
"""No record of a broker is longer, whatever a plugin writes into it."""
MINUTE_BYTES = ENTRIES_PER_MINUTE * RECORD_BYTES


class Moved:
    """A clock."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def times(entries: list[AuditEntry]) -> int:
    return sum(int(str(entry.data.get("times", 1))) for entry in entries)


def sizes(entries: list[AuditEntry]) -> list[int]:
    return [len(encode(link(GENESIS.hash, 10**9, entry))) + 1 for entry in entries]


@pytest.mark.parametrize(
    ("code", "targets", "minutes"),
    [
        *((code, 10**9, 1) for code in RefusalCode),
        (RefusalCode.CALL_NOT_ALLOWED, 1, 5),
        (RefusalCode.HOST_NOT_ALLOWED, 5, 5),
    ],
)
async def test_a_flood_of_refusals_costs_a_bounded_part_of_the_disk(
    code: RefusalCode, targets: int, minutes: int
) -> None:
    now, auditor = Moved(), MemoryAuditor()
    ledger = AuditLedger(auditor=auditor, now=now, monotonic=now)
    log = RefusalLog(plugin_id="x" * 63, action=AuditAction.HOST_CALL, ledger=ledger, now=now)
    for number in range(RATE * 60 * minutes):
        name = f"{number % targets:0253}"
        log.note(Refused(code, f"found {name}, expected {'a' * 5_000}", evidence={"host": name}))
        now.at += 1 / RATE
    flooded = list(auditor.entries)
    ledger.close()

    assert len(flooded) <= ENTRIES_BURST + ENTRIES_PER_MINUTE * minutes
    assert len(auditor.entries) - len(flooded) <= MAX_TARGETS + 1
    assert max(sizes(flooded)) <= RECORD_BYTES
    assert sum(sizes(flooded)) <= ENTRIES_BURST * RECORD_BYTES + MINUTE_BYTES * minutes
    assert times(auditor.entries) == log.counts[code] == RATE * 60 * minutes


async def test_each_kind_and_target_has_its_own_sum_and_its_turn() -> None:
    now, auditor = Moved(), MemoryAuditor()
    ledger = AuditLedger(auditor=auditor, now=now, monotonic=now)
    log = RefusalLog(plugin_id="x", action=AuditAction.EGRESS, ledger=ledger, now=now)
    made: Counter[tuple[str, str]] = Counter()
    for second in range(600):
        for host in ("a", "b"):
            for code in (RefusalCode.HOST_NOT_ALLOWED, RefusalCode.ADDRESS_REFUSED):
                if host == "a" or second % 100 == 0:
                    log.note(Refused(code, "no", evidence={"host": host}))
                    made[code, host] += 1
        now.at += 1
    # The rare ones are told, though the frequent ones would take every token.
    rare = {str(it.data["code"]) for it in auditor.entries[20:] if it.data["host"] == "b"}
    ledger.close()
    told: Counter[tuple[str, str]] = Counter()
    for entry in auditor.entries:
        told[str(entry.data["code"]), str(entry.data["host"])] += times([entry])

    assert rare == {"host_not_allowed", "address_refused"}
    assert told == made


async def test_what_repeats_by_its_nature_leaves_the_tokens_to_others() -> None:
    now, auditor = Moved(), MemoryAuditor()
    ledger = AuditLedger(auditor=auditor, now=now, monotonic=now)
    log = RefusalLog(plugin_id="x", action=AuditAction.EGRESS, ledger=ledger, now=now)
    for _ in range(100):
        log.note(Refused(RefusalCode.RATE_LIMITED, "no"))
        now.at += QUIET_SECONDS / 1_000
    log.note(Refused(RefusalCode.ADDRESS_REFUSED, "no"))

    assert auditor.codes() == ["rate_limited", "address_refused"]


async def test_what_was_held_back_is_told_though_nothing_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.sandbox.audit_ledger.ENTRIES_PER_MINUTE", 6_000)
    loop, auditor = asyncio.get_running_loop(), MemoryAuditor()
    ledger = AuditLedger(auditor=auditor, now=loop.time, monotonic=loop.time)
    log = RefusalLog(plugin_id="x", action=AuditAction.EGRESS, ledger=ledger, now=loop.time)
    for _ in range(1_000):
        log.note(Refused(RefusalCode.HOST_NOT_ALLOWED, "no"))
    at_once = times(auditor.entries)
    await until(lambda: times(auditor.entries) == 1_000)
    ledger.close()

    assert at_once < 1_000
    assert len(auditor.entries) < 100


async def test_1000_calls_that_are_not_allowed_are_a_few_records(tmp_path: Path) -> None:
    """As they come over the socket; each was a record of 400 bytes."""
    bounds = HostBounds(requests_per_second=10**6, burst=10**6)
    async with host_house(tmp_path, bounds) as house:
        for number in range(1_000):
            await ask(house.path, execute(f"other-{number % 40}"))
        house.broker.close()

    assert len(house.auditor.entries) <= ENTRIES_BURST + MAX_TARGETS + 20
    assert sum(sizes(house.auditor.entries)) < 40_000
    assert times(house.auditor.entries) == 1_000


async def test_bytes_of_allowed_requests_add_up_over_their_sums(tmp_path: Path) -> None:
    bounds = EgressBounds(requests_per_second=10**6, burst=10**6)
    async with upstream() as server:
        hosts = [f"{name}.test:{server.port}" for name in ("a", "b", "c")]
        async with egress_house(tmp_path, *hosts, bounds=bounds) as house:
            for number in range(300):
                await ask(house.path, get(f"http://{hosts[number % 3]}/{number}"))
            house.broker.close()
    entries = house.auditor.entries
    carried = [entry.data[way] for entry in entries for way in ("sent_bytes", "received_bytes")]

    assert {entry.outcome for entry in entries} == {AuditOutcome.ALLOWED}
    assert len(entries) <= ENTRIES_BURST + 3 + 3
    assert times(entries) == 300
    assert sum(int(str(count)) for count in carried) == house.meter.used() > 300 * 50


async def test_tunnels_that_stand_when_the_broker_closes_are_told_to_the_byte(
    tmp_path: Path,
) -> None:
    async with upstream(echo) as server:
        host = f"a.test:{server.port}"
        async with egress_house(tmp_path, host) as house:
            for _ in range(30):
                await ask(house.path, connect("b.test:1"))
            tunnels = [await house.tunnel(host) for _ in range(25)]
            for raw in tunnels:
                raw.send(b"12345")
                await raw.reader.readexactly(5)
            house.broker.close()
            for raw in tunnels:
                await raw.close()
        allowed = [it for it in house.auditor.entries if it.outcome is AuditOutcome.ALLOWED]

    assert times(allowed) == 25
    assert sum(int(str(it.data["sent_bytes"])) for it in allowed) == 125
    assert sum(int(str(it.data["received_bytes"])) for it in allowed) == 125
