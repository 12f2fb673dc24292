"""DeadlineWheel: never early, at most two ticks late, and nothing runs for nobody."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sandbox.deadlines import TICK_SECONDS, DeadlineWheel


class FakeTimer:
    def __init__(self, at: float, act: Callable[[], None]) -> None:
        self.at, self.act = at, act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """A clock that the test moves; timers run exactly at their time."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.timers: list[FakeTimer] = []
        self.trouble: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any, *args: Any, **more: Any) -> Any:
        self.timers.append(FakeTimer(self.now + delay, callback))
        return self.timers[-1]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.trouble.append(context)

    def wheel(self) -> DeadlineWheel:
        return DeadlineWheel(cast("asyncio.AbstractEventLoop", self))

    @property
    def armed(self) -> list[FakeTimer]:
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return self.timers

    def run_until(self, end: float) -> None:
        while due := [timer for timer in self.armed if timer.at <= end]:
            timer = min(due, key=lambda it: it.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.act()
        self.now = end


@given(
    start=st.floats(0, 1e6),
    waits=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=20),
)
def test_each_deadline_is_met_once_never_early_and_at_most_two_ticks_late(
    start: float, waits: list[tuple[float, float]]
) -> None:
    loop = FakeLoop(start)
    wheel = loop.wheel()
    met: dict[int, list[float]] = {number: [] for number in range(len(waits))}
    due = {}

    def meet(number: int) -> None:
        met[number].append(loop.now)

    for number, (pause, seconds) in enumerate(waits):
        loop.run_until(loop.now + pause)
        due[number] = loop.now + seconds
        wheel.after(seconds, partial(meet, number))
    loop.run_until(loop.now + 5)

    for number, times in met.items():
        assert len(times) == 1
        assert due[number] - 1e-6 <= times[0] <= due[number] + 2 * TICK_SECONDS + 1e-6
    assert loop.armed == []


def test_what_is_cancelled_is_not_met() -> None:
    loop = FakeLoop()
    wheel = loop.wheel()
    met: list[str] = []
    first = wheel.after(0.1, lambda: met.append("first"))
    wheel.after(0.1, lambda: met.append("second"))
    first.cancel()
    first.cancel()
    loop.run_until(loop.now + 1)
    first.cancel()

    assert met == ["second"]


def test_an_empty_wheel_runs_no_timer() -> None:
    loop = FakeLoop()
    wheel = loop.wheel()
    assert loop.armed == []

    deadlines = [wheel.after(3_600.0 + number, lambda: None) for number in range(50)]
    assert len(loop.armed) == 1
    for deadline in deadlines:
        deadline.cancel()
    loop.run_until(loop.now + TICK_SECONDS + 1e-6)
    assert loop.armed == []
    assert wheel._slots == {}


def test_a_deadline_of_a_deadline_is_met_too() -> None:
    loop = FakeLoop()
    wheel = loop.wheel()
    met: list[str] = []

    def outer() -> None:
        wheel.after(0.1, lambda: met.append("inner"))

    wheel.after(0.1, outer)
    loop.run_until(loop.now + 0.15)

    assert met == []
    loop.run_until(loop.now + 1)
    assert met == ["inner"]


def test_a_deadline_may_cancel_another_of_the_same_moment() -> None:
    loop = FakeLoop()
    wheel = loop.wheel()
    met: list[int] = []
    deadlines: list[Any] = []

    def meet(number: int) -> None:
        met.append(number)
        for deadline in deadlines:
            deadline.cancel()

    deadlines += [wheel.after(0.1, partial(meet, number)) for number in range(3)]
    loop.run_until(loop.now + 1)

    assert len(met) == 1


def test_one_action_that_fails_stops_no_other() -> None:
    loop = FakeLoop()
    wheel = loop.wheel()
    met: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    wheel.after(0.1, fail)
    wheel.after(0.1, lambda: met.append("same slot"))
    wheel.after(0.5, lambda: met.append("later"))
    loop.run_until(loop.now + 1)

    assert met == ["same slot", "later"]
    assert [type(trouble["exception"]) for trouble in loop.trouble] == [ZeroDivisionError]


def test_a_closed_wheel_meets_nothing() -> None:
    loop = FakeLoop()
    wheel = loop.wheel()
    met: list[str] = []
    wheel.after(0.1, lambda: met.append("never"))
    wheel.close()
    loop.run_until(loop.now + 1)

    assert met == []
    assert loop.armed == []
    wheel.after(0.1, lambda: met.append("again"))
    loop.run_until(loop.now + 1)
    assert met == ["again"]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.1])
async def test_on_a_real_loop_it_is_never_early(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    wheel = DeadlineWheel(loop)
    met: asyncio.Future[float] = loop.create_future()
    start = loop.time()
    wheel.after(seconds, lambda: met.set_result(loop.time()))
    async with asyncio.timeout(2):
        took = await met - start

    assert took >= seconds
    assert wheel._timer is None
