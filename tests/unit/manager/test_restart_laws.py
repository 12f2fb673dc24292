"""Back-off and cap against an oracle that knows the true time, while the clock is set at will."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.manager.jumps import settle
from orchestrator.manager.restart import History, next_start, note_failure
from orchestrator.model.status import SubState
from tests.unit.manager.fleet_house import FleetHouse

DAY = 86_400.0
RUNS = st.lists(st.integers(1, 900).map(float), min_size=1, max_size=25)
JUMPS = st.sampled_from([0.0, 2.0, -2.0, 3_600.0, -3_600.0, DAY, -DAY])


@dataclass
class Plugin:
    """One that fails again and again, as the product sees it and as it was."""

    true: float = 100 * DAY
    ahead: float = 0.0
    """How wrong the clock is."""
    history: History = field(default_factory=History)
    failed_at: list[float] = field(default_factory=list)
    started_at: list[float] = field(default_factory=list)
    _told: float = 0.0

    @property
    def clock(self) -> float:
        return self.true + self.ahead

    def look(self) -> None:
        """What a pass of the loop does first."""
        self.history = settle(self.history, now=self.clock, jumped=self.ahead - self._told)
        self._told = self.ahead

    def fail(self) -> None:
        self.look()
        self.failed_at.append(self.true)
        self.history = note_failure(self.history, "exit_code_1", at=self.clock)

    def due(self) -> float | None:
        """In true time."""
        self.look()
        start = next_start(self.history, now=self.clock)
        return None if start is None else start - self.ahead


def due_by_oracle(failed_at: list[float], now: float) -> float | None:
    """Half a second, doubled by each failure of the last half hour, a minute at most."""
    if sum(at > failed_at[-1] - 30 * 60 for at in failed_at) > 10:
        return None
    lately = sum(at > now - 30 * 60 for at in failed_at)
    delays = {1: 0.5, 2: 1, 3: 2, 4: 4, 5: 8, 6: 16, 7: 32}
    return failed_at[-1] + delays.get(lately, 60) if lately else now


@given(runs=RUNS, jumps=st.lists(JUMPS, min_size=25, max_size=25))
def test_whatever_the_clock_does_a_start_is_due_when_it_would_have_been(
    runs: list[float], jumps: list[float]
) -> None:
    plugin = Plugin()
    for run, jump in zip(runs, jumps, strict=False):
        plugin.true += run
        plugin.fail()
        plugin.ahead += jump
        due = due_by_oracle(plugin.failed_at, plugin.true)

        assert plugin.due() == due
        if due is None:
            return
        plugin.true = due


@given(runs=RUNS, jumps=st.lists(JUMPS, min_size=25, max_size=25))
def test_no_half_hour_sees_more_than_ten_restarts_and_none_comes_early(
    runs: list[float], jumps: list[float]
) -> None:
    plugin = Plugin()
    for run, jump in zip(runs, jumps, strict=False):
        plugin.true += run
        plugin.fail()
        plugin.ahead += jump
        due = plugin.due()
        if due is None:
            break

        assert 0.5 <= due - plugin.failed_at[-1] <= 60
        plugin.true = due
        plugin.started_at.append(due)
    for start in plugin.started_at:
        assert sum(start - 30 * 60 < other <= start for other in plugin.started_at) <= 10


@given(count=st.integers(2, 10), jump=JUMPS)
def test_each_failure_in_a_row_doubles_the_delay_up_to_a_minute(count: int, jump: float) -> None:
    plugin, delays = Plugin(), []
    for _ in range(count):
        plugin.fail()
        plugin.ahead += jump
        due = plugin.due()
        assert due is not None
        delays.append(due - plugin.true)
        plugin.true = due + 1

    assert all(later == min(2 * earlier, 60) for earlier, later in pairwise(delays))


@pytest.mark.parametrize("back", [3_600.0, DAY])
def test_a_clock_that_was_set_back_while_no_daemon_ran_holds_nothing_up(back: float) -> None:
    history = History(failures=(1_000 * DAY - 5, 1_000 * DAY))
    now = 1_000 * DAY - back
    settled = settle(history, now=now, jumped=0.0)

    assert settled.failures == (now - 5, now)
    assert next_start(settled, now=now) == now + 1.0


def test_a_clock_that_is_right_changes_nothing() -> None:
    history = History(failures=(5.0, 9.0))

    assert settle(history, now=9.0, jumped=0.0) is history
    assert settle(history, now=8.5, jumped=0.4) is history
    assert settle(History(), now=0.0, jumped=DAY) == History()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[FleetHouse]:
    house = FleetHouse(tmp_path)
    house.plugin("notes")
    async with house.open():
        await house.up()
        await house.all_run()
        yield house


@pytest.mark.parametrize("jump", [DAY, -DAY, 3_600.0, -3_600.0])
async def test_a_daemon_whose_clock_is_set_keeps_to_the_back_off_and_forgets_no_failure(
    house: FleetHouse, jump: float
) -> None:
    for seconds in (0.5, 1.0):
        house.die("notes")
        await house.settled(notes=SubState.BACKING_OFF)
        house.later(seconds)
        await house.all_run()
    house.die("notes")
    await house.settled(notes=SubState.BACKING_OFF)
    house.clock.jumped = jump
    house.later(1.9)
    await house.quiet()
    early = house.sub_state("notes")
    house.later(0.2)
    await house.all_run()

    assert early is SubState.BACKING_OFF
    assert len(house.daemon.manager.fleet.plugin_history("notes").failures) == 3
