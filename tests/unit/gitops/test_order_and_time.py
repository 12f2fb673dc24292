"""Waves and windows: in which order, and when."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.gitops.waves import Placed, in_waves
from orchestrator.gitops.windows import holds, is_open
from orchestrator.model.git import Day, SyncWindow, WindowKind

NAMES = ["a", "b", "c", "d", "e"]


def at(text: str) -> float:
    """2026-11-30 is a Monday."""
    return datetime.fromisoformat(f"{text}:00").replace(tzinfo=UTC).timestamp()


def window(kind: str, start: str, end: str, *days: str, timezone: str = "UTC") -> SyncWindow:
    given_days = {"days": days} if days else {}
    return SyncWindow.model_validate(
        {"kind": kind, "start": start, "end": end, "timezone": timezone, **given_days}
    )


def test_lower_waves_come_first_and_names_decide_nothing() -> None:
    plugins = {"z": Placed(wave=-1), "a": Placed(wave=5), "m": Placed(), "b": Placed()}

    assert in_waves(plugins) == (("z",), ("b", "m"), ("a",))
    assert in_waves({}) == ()


def test_nothing_comes_before_what_it_needs() -> None:
    plugins = {
        "web": Placed(wave=0, needs=("store",)),
        "store": Placed(wave=3, needs=("elsewhere",)),
        "page": Placed(wave=1, needs=("web",)),
    }

    assert in_waves(plugins) == (("page", "store", "web"),)


def test_a_circle_is_one_wave() -> None:
    plugins = {"a": Placed(wave=1, needs=("b",)), "b": Placed(wave=2, needs=("a",))}

    assert in_waves(plugins) == (("a", "b"),)


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.builds(
            Placed,
            wave=st.integers(-3, 3),
            needs=st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
        ),
    )
)
def test_each_plugin_is_in_one_wave_not_before_its_own_and_not_before_what_it_needs(
    plugins: dict[str, Placed],
) -> None:
    waves = in_waves(plugins)
    where = {name: number for number, wave in enumerate(waves) for name in wave}

    assert sorted(name for wave in waves for name in wave) == sorted(plugins)
    for name, placed in plugins.items():
        assert all(where[need] <= where[name] for need in placed.needs if need in where)
    free = {name: p.wave for name, p in plugins.items() if not p.needs}
    for one, other in [(x, y) for x in free for y in free]:
        assert (free[one] < free[other]) == (where[one] < where[other])


def test_without_windows_it_is_always_open() -> None:
    assert is_open((), at("2026-11-30T12:00"))


def test_where_some_allow_it_is_closed_outside_of_them() -> None:
    windows = (window("allow", "09:00", "17:00", "mon", "tue"),)

    assert is_open(windows, at("2026-11-30T09:00"))
    assert is_open(windows, at("2026-12-01T16:59"))
    assert not is_open(windows, at("2026-11-30T17:00"))
    assert not is_open(windows, at("2026-11-30T08:59"))
    assert not is_open(windows, at("2026-12-02T12:00"))


def test_a_window_that_denies_is_stronger() -> None:
    windows = (window("allow", "00:00", "23:59"), window("deny", "11:00", "12:00", "mon"))

    assert not is_open(windows, at("2026-11-30T11:30"))
    assert is_open(windows, at("2026-12-01T11:30"))
    assert is_open((windows[1],), at("2026-11-30T12:00"))


def test_a_window_may_last_past_midnight_of_the_day_that_it_began_on() -> None:
    night = window("deny", "22:00", "06:00", "fri")

    assert holds(night, at("2026-12-04T23:00"))
    assert holds(night, at("2026-12-05T05:59"))
    assert not holds(night, at("2026-12-05T06:00"))
    assert not holds(night, at("2026-12-04T05:00"))
    assert not holds(night, at("2026-12-05T22:30"))


def test_a_window_of_one_moment_to_the_same_is_a_whole_day() -> None:
    day = window("deny", "08:00", "08:00", "mon")

    assert holds(day, at("2026-11-30T08:00"))
    assert holds(day, at("2026-12-01T07:59"))
    assert not holds(day, at("2026-12-01T08:00"))


def test_a_windows_times_are_those_of_its_time_zone() -> None:
    morning = window("allow", "09:00", "10:00", timezone="America/New_York")

    assert holds(morning, at("2026-11-30T14:30"))
    assert not holds(morning, at("2026-11-30T09:30"))


@pytest.mark.parametrize(
    ("start", "timezone"),
    [("9:00", "UTC"), ("24:00", "UTC"), ("09:00", "Mars/Olympus"), ("09:00", "../x")],
)
def test_a_time_or_a_zone_that_is_none_is_refused(start: str, timezone: str) -> None:
    with pytest.raises(ValidationError):
        window("allow", start, "10:00", timezone=timezone)


def test_the_days_are_those_of_the_calendar() -> None:
    for number, day in enumerate(Day):
        moment = at(f"2026-11-{30}T12:00") + number * 86_400
        only = SyncWindow(kind=WindowKind.ALLOW, days=(day,), start="00:00", end="23:59")
        assert [holds(only, moment + step * 86_400) for step in range(7)] == [True] + [False] * 6
