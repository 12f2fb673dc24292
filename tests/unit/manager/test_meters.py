"""Meters: what is counted stays counted, over sandboxes, limits, windows and daemons."""

from typing import Any

import pytest

from orchestrator.manager.meters import Meters
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.memory import MemoryStore

MIB = 1 << 20


class FullStore(MemoryStore):
    def put_all(self, kind: str, records: Any) -> None:
        raise StoreUnavailable("full")


def meters(store: MemoryStore, now: float = 1_000_000.0) -> Meters:
    return Meters(store=store, now=lambda: now)


def deployment(make: Any, megabytes: int = 10) -> Any:
    return make.deployment(info={"limits": {"max_network_mb": megabytes}})


def test_what_the_packet_filter_counts_is_booked_once(make: Any) -> None:
    account = meters(MemoryStore()).account(deployment(make), make.policy())
    account.book("pause@1", 1_000)
    account.book("pause@1", 1_500)
    account.book("pause@1", 1_500)

    assert account.meter.used() == 1_500


@pytest.mark.parametrize("again", [("pause@2", 300), ("pause@1", 300)])
def test_counters_that_began_anew_are_booked_in_full(make: Any, again: tuple[str, int]) -> None:
    account = meters(MemoryStore()).account(deployment(make), make.policy())
    account.book("pause@1", 1_000)
    account.book(*again)

    assert account.meter.used() == 1_300


def test_brokers_and_the_packet_filter_count_on_one_meter(make: Any) -> None:
    all_meters = meters(MemoryStore())
    account = all_meters.account(deployment(make, 1), make.policy())
    all_meters.account(deployment(make, 1), make.policy()).meter.take(400)
    account.book("pause@1", MIB)

    assert account.meter.used() == MIB + 400
    assert account.meter.left() == 0


def test_the_next_daemon_goes_on_where_this_one_ended(make: Any) -> None:
    store = MemoryStore()
    first = meters(store)
    first.account(deployment(make), make.policy()).book("pause@1", 1_000)
    first.account(deployment(make), make.policy()).told_at = 5.0
    first.keep()
    account = meters(store).account(deployment(make), make.policy())
    account.book("pause@1", 1_200)

    assert account.meter.used() == 1_200
    assert account.told_at == 5.0


@pytest.mark.parametrize("record", [{}, {"meter": 1, "run": "", "passed": 0}, {"meter": {}}])
def test_a_record_of_another_shape_is_nothing(make: Any, record: Any) -> None:
    store = MemoryStore()
    store.put_all("network", {"notes": record})

    assert meters(store).account(deployment(make), make.policy()).meter.used() == 0


def test_another_limit_or_window_forgets_nothing(make: Any) -> None:
    all_meters = meters(MemoryStore())
    before = all_meters.account(deployment(make), make.policy()).meter
    before.note(5_000)
    policy = make.policy(egress={"window_seconds": 60})
    after = all_meters.account(deployment(make, 1), policy).meter

    assert after is before  # brokers hold it
    assert (after.used(), after.limit_bytes, after.window_seconds) == (5_000, MIB, 60)


def test_a_full_disk_costs_the_counts_survival_and_nothing_else(make: Any) -> None:
    store = FullStore()
    full = meters(store)
    full.account(deployment(make), make.policy()).book("pause@1", 1_000)
    full.keep()

    assert full.account(deployment(make), make.policy()).meter.used() == 1_000
