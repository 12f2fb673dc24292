"""SeriesStore: one contract for the file and its twin; and what only the file can suffer."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store.base import StoreUnavailable
from orchestrator.store.series import Kept, MemorySeries, RowKey, SeriesStore, Step
from orchestrator.store.series_sqlite import SqliteSeries

DAY = 1_796_083_200
A: RowKey = ("a", "plugin", "")
B: RowKey = ("b", "tool", "scan")
FOREVER = Kept(minutes_seconds=1e9, hours_seconds=1e9, days_seconds=1e9, max_bytes=1 << 40)


def _plus(left: str, right: str) -> str:
    return str(int(left) + int(right))


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SeriesStore]]:
    made: list[SeriesStore] = []

    def store() -> SeriesStore:
        one: SeriesStore = (
            MemorySeries(_plus)
            if request.param == "memory"
            else SqliteSeries.open(tmp_path / "analytics.db", _plus)
        )
        made.append(one)
        return one

    yield store
    for one in made:
        one.close()


def test_a_minute_is_in_its_hour_and_its_day_too(make: Callable[[], SeriesStore]) -> None:
    store = make()
    store.add(DAY + 3_661, {A: "5", B: "1"})
    store.add(DAY + 3_721, {A: "2"})

    assert store.read(Step.MINUTE, DAY, DAY + 86_400) == [
        (DAY + 3_660, A, "5"),
        (DAY + 3_660, B, "1"),
        (DAY + 3_720, A, "2"),
    ]
    assert store.read(Step.HOUR, DAY, DAY + 86_400) == [
        (DAY + 3_600, A, "7"),
        (DAY + 3_600, B, "1"),
    ]
    assert store.read(Step.DAY, DAY, DAY + 1) == [(DAY, A, "7"), (DAY, B, "1")]


def test_what_comes_twice_for_a_minute_is_added(make: Callable[[], SeriesStore]) -> None:
    store = make()
    store.add(DAY, {A: "5"})
    store.add(DAY + 59.9, {A: "6"})

    assert [store.read(step, DAY, DAY + 1) for step in Step] == [[(DAY, A, "11")]] * 3


def test_only_what_begins_within_is_read(make: Callable[[], SeriesStore]) -> None:
    store = make()
    for minute in range(3):
        store.add(DAY + 60 * minute, {A: "1"})

    assert [row[0] for row in store.read(Step.MINUTE, DAY + 60, DAY + 120)] == [DAY + 60]


def test_the_oldest_of_each_length_is_known(make: Callable[[], SeriesStore]) -> None:
    store = make()
    assert [store.oldest(step) for step in Step] == [None, None, None]

    store.add(DAY + 7_300, {A: "1"})

    assert [store.oldest(step) for step in Step] == [DAY + 7_260, DAY + 7_200, DAY]


def test_minutes_hours_and_days_are_forgotten_each_in_its_time(
    make: Callable[[], SeriesStore],
) -> None:
    store = make()
    for back in (0, 3, 30, 300):
        store.add(DAY - back * 3_600, {A: "1"})
    kept = Kept(minutes_seconds=7_200, hours_seconds=86_400, days_seconds=1e9, max_bytes=1 << 40)

    for _ in range(60):  # a pruning goes only so far
        store.prune(DAY + 60, kept)

    assert [row[0] for row in store.read(Step.MINUTE, 0, DAY + 1)] == [DAY]
    assert [row[0] for row in store.read(Step.HOUR, 0, DAY + 1)] == [DAY - 10_800, DAY]
    assert len(store.read(Step.DAY, 0, DAY + 1)) == 4


def test_a_clock_that_is_wrong_once_costs_a_few_hours_and_not_everything(
    make: Callable[[], SeriesStore],
) -> None:
    store = make()
    for hour in range(48):
        store.add(DAY + hour * 3_600, {A: "1"})
    kept = Kept(
        minutes_seconds=86_400, hours_seconds=86_400, days_seconds=86_400, max_bytes=1 << 40
    )

    store.prune(DAY + 3_650 * 86_400.0, kept)

    found = [store.oldest(step) for step in Step]
    assert found == [DAY + 2 * 3_600, DAY + 6 * 3_600, DAY + 86_400]


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=200_000),
            st.dictionaries(
                st.sampled_from([A, B]), st.integers(min_value=1, max_value=9).map(str), min_size=1
            ),
        ),
        max_size=25,
    )
)
def test_every_length_tells_the_same_sum(added: list[tuple[int, dict[RowKey, str]]]) -> None:
    memory, file = MemorySeries(_plus), SqliteSeries.open(Path(":memory:"), _plus)
    for at, rows in added:
        memory.add(DAY + at, rows)
        file.add(DAY + at, rows)

    expected = sum(int(number) for _, rows in added for number in rows.values())
    for step in Step:
        found = memory.read(step, 0, DAY * 2)
        assert file.read(step, 0, DAY * 2) == found
        assert sum(int(text) for _, _, text in found) == expected
    file.close()


# -- the file -----------------------------------------------------------------------------------


def test_the_file_is_there_for_the_next_daemon(tmp_path: Path) -> None:
    first = SqliteSeries.open(tmp_path / "analytics.db", _plus)
    first.add(DAY, {A: "5"})
    first.close()

    again = SqliteSeries.open(tmp_path / "analytics.db", _plus)
    again.add(DAY, {A: "1"})

    assert (again.read(Step.DAY, DAY, DAY + 1), again.trouble) == ([(DAY, A, "6")], "")
    again.close()


def test_a_damaged_file_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "analytics.db").write_bytes(b"nothing that SQLite wrote" * 100)

    store = SqliteSeries.open(tmp_path / "analytics.db", _plus)
    store.add(DAY, {A: "1"})

    assert "set aside as analytics.corrupt" in store.trouble
    assert (tmp_path / "analytics.corrupt").read_bytes().startswith(b"nothing that")
    assert store.read(Step.DAY, DAY, DAY + 1) == [(DAY, A, "1")]
    store.close()


def test_a_file_of_a_later_version_keeps_no_daemon_from_starting(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "analytics.db") as later:
        later.execute("PRAGMA user_version = 99")
    later.close()

    store = SqliteSeries.open(tmp_path / "analytics.db", _plus)

    assert "found version 99, expected at most 1" in store.trouble
    store.close()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteSeries.open(tmp_path / "nowhere" / "analytics.db", _plus)


def test_a_minute_that_cannot_be_written_is_written_nowhere(tmp_path: Path) -> None:
    def fails(left: str, right: str) -> str:
        raise sqlite3.OperationalError("disk I/O error")

    store = SqliteSeries.open(tmp_path / "analytics.db", fails)
    store.add(DAY, {A: "5"})

    with pytest.raises(StoreUnavailable, match="disk I/O error"):
        store.add(DAY + 60, {B: "1", A: "1"})  # the hour has a row of A already

    assert [len(store.read(step, DAY, DAY + 3_600)) for step in Step] == [1, 1, 1]
    store.close()


def test_a_file_that_is_too_large_loses_its_oldest_minutes_first(tmp_path: Path) -> None:
    store = SqliteSeries.open(tmp_path / "analytics.db", lambda left, _: left)
    for minute in range(2_000):
        store.add(DAY + 60 * minute, {A: "x" * 400})
    small = Kept(minutes_seconds=1e9, hours_seconds=1e9, days_seconds=1e9, max_bytes=400_000)

    assert store.prune(DAY + 120_000, small) > 0

    left = store.read(Step.MINUTE, 0, DAY * 2)
    assert 0 < len(left) < 1_000
    assert left[-1][0] == DAY + 60 * 1_999
    assert len(store.read(Step.HOUR, 0, DAY * 2)) == 34
    assert (tmp_path / "analytics.db").stat().st_size < 1_200_000
    store.close()


def test_what_is_not_too_large_is_left_as_it_is(tmp_path: Path) -> None:
    store = SqliteSeries.open(tmp_path / "analytics.db", _plus)
    store.add(DAY, {A: "5"})

    assert store.prune(DAY, FOREVER) == 0
    store.close()
