"""The book and the totals of others: what samples, events, brokers and restarts become."""

import math
from collections import Counter

from orchestrator.model.events import EventName, PluginEvent
from orchestrator.monitoring.aggregates import Key, Row, united
from orchestrator.monitoring.book import Book
from orchestrator.monitoring.counts import Level
from orchestrator.monitoring.samples import Sample
from orchestrator.monitoring.sketch import Gauge
from orchestrator.monitoring.totals import TotalsReader
from orchestrator.sandbox.party_counts import CODE_PARTY, Counts, HostClass
from tests.unit.monitoring.test_keeper import HandClock

MIB = 1 << 20


def _sample(**values: float) -> Sample:
    return Sample(at=0.0, **values)  # type: ignore[arg-type]


def _event(
    event_type: str, *, source: str = "orchestrator/default", subject: str = "a"
) -> PluginEvent:
    return PluginEvent(event_id="1", type=event_type, source=source, at=0.0, subject=subject)


class House:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.book = Book(self.clock)

    def sample(self, seconds: float = 10.0, **values: float) -> None:
        self.clock.passes(seconds)
        self.book.sampled({"a": _sample(**values)})

    def row(self) -> Row:
        return united(self.book.take()).get(Key("a"), Row())


def test_a_sample_is_a_look_at_each_thing_that_is_known() -> None:
    house = House()
    house.sample(memory_bytes=80 * MIB, memory_limit_bytes=100 * MIB, pids=3, network_bytes=5)

    assert house.row() == Row(
        gauges={
            Level.MEMORY: Gauge.of(80 * MIB, 100 * MIB),
            Level.PIDS: Gauge.of(3),
            Level.NETWORK: Gauge.of(5),
        }
    )
    assert united(house.book.take()) == {}


def test_memory_and_cpu_of_replicas_are_told_of_one_of_them() -> None:
    house = House()
    house.sample(containers=4, memory_bytes=80, memory_limit_bytes=400, cpu_seconds_total=0.0)
    house.sample(containers=4, cpu_seconds_total=4.0, cpu_limit_percent=200)

    gauges = house.row().gauges
    assert gauges[Level.MEMORY] == Gauge.of(20, 100)
    assert gauges[Level.CPU] == Gauge.of(10.0, 50.0)


def test_the_first_look_says_only_from_where_totals_count() -> None:
    house = House()
    house.sample(cpu_seconds_total=9_000.0, periods_total=500)
    house.sample(cpu_seconds_total=9_001.5, periods_total=600, throttled_periods_total=7)

    row = house.row()
    assert row.counts == {"cpu_seconds": 1.5, "periods": 100.0}
    assert math.isclose(row.gauges[Level.CPU].most, 15.0)


def test_a_total_that_fell_counts_from_its_new_start() -> None:
    house = House()
    house.sample(oom_kills_total=5)
    house.sample(oom_kills_total=2)

    assert house.row().counts == {"oom_kills": 2.0}


def test_a_container_that_comes_into_view_brings_no_history_along() -> None:
    house = House()
    house.sample(cpu_seconds_total=10.0, periods_total=10)
    house.sample(cpu_seconds_total=90_000.0, periods_total=9_000_000)
    house.sample(cpu_seconds_total=90_001.0, periods_total=9_000_100)

    row = house.row()
    assert row.counts == {"cpu_seconds": 1.0, "periods": 100.0}
    assert row.gauges[Level.CPU].samples == 1


def test_no_cpu_is_told_over_a_sleep_of_the_machine() -> None:
    house = House()
    house.sample(cpu_seconds_total=1.0)
    house.sample(3_600.0, cpu_seconds_total=2.0)

    assert Level.CPU not in house.row().gauges


def test_the_orchestrators_events_count_and_nobody_elses() -> None:
    house = House()
    for event in (
        _event(EventName.PLUGIN_DIED),
        _event(EventName.PLUGIN_OOM),
        _event(EventName.DESIRED_CHANGED),
        _event(EventName.PLUGIN_DIED, source="operator/eve"),
        _event(EventName.PLUGIN_DIED, source="plugin/b"),
        _event(EventName.ENGINE_LOST, subject=""),
    ):
        house.book.hear(event)

    assert united(house.book.take()) == {
        Key("a"): Row(counts={"event:died": 1.0, "event:out_of_memory": 1.0}),
        Key("b"): Row(counts={"used:plugin_communication": 1.0}),
    }


def test_who_is_deployed_no_more_is_forgotten() -> None:
    house = House()
    house.sample(cpu_seconds_total=5.0, memory_bytes=7)
    house.book.keep_only({"b"})
    assert house.book.latest("a") == (None, None)

    house.sample(cpu_seconds_total=50.0)

    assert house.row().counts == {}


def test_what_brokers_and_the_fleet_count_is_told_once() -> None:
    counts, restarts = Counts(), Counter({"a": 2})
    of_policy = Counter({("a", "permission_refused"): 1, ("", "permission_refused"): 4})
    reader = TotalsReader(counts=counts, refusals=of_policy, restarts=restarts)
    counts.of("a").refusals["host_not_granted"] += 3
    counts.of("a").to(HostClass.PUBLIC).sent += 10
    counts.of("a").to(HostClass.PRIVATE).received += 5
    counts.of("a").to(HostClass.DATABASE).sent += 7
    counts.of(CODE_PARTY).refusals["host_not_granted"] += 9

    assert united(reader.take()) == {
        Key("a"): Row(
            counts={
                "event:restarted": 2.0,
                "refused:host_not_granted": 3.0,
                "refused:permission_refused": 1.0,
                "bytes:external_api": 15.0,
                "bytes:database_access": 7.0,
            }
        )
    }
    assert united(reader.take()) == {}
    counts.of("a").refusals["host_not_granted"] += 1
    assert united(reader.take()) == {Key("a"): Row(counts={"refused:host_not_granted": 1.0})}


def test_counts_that_are_begun_anew_count_anew() -> None:
    counts = Counts()
    reader = TotalsReader(counts=counts, refusals={}, restarts={})
    counts.of("a").refusals["quota_exceeded"] += 5
    united(reader.take())
    counts.forget("a")
    counts.of("a").refusals["quota_exceeded"] += 2

    assert united(reader.take()) == {Key("a"): Row(counts={"refused:quota_exceeded": 2.0})}
