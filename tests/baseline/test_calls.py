"""Limits of calls: their time, how many run at once, how large an answer may be."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from orchestrator.client.client import CallResult
from tests.baseline.conftest import QUEUE, RESPONSE_MB
from tests.support.arena import MIB
from tests.support.instance import eventually
from tests.support.probe import Probe

pytestmark = pytest.mark.docker

Limited = Callable[[str], Probe]


def test_a_call_past_its_time_ends_with_a_deadline_and_the_plugin_goes_on(
    limited: Limited,
) -> None:
    stuck = limited("stuck")
    before = stuck.status()
    since = time.monotonic()
    text = stuck.instance.call("stuck", {"seconds": 20}, tool="sleep", expect=124)
    took = time.monotonic() - since
    time.sleep(1.5)  # longer than a plugin has to dial again

    assert "deadline_exceeded" in text
    assert 1.0 <= took < 12.0  # of the 20 that it would have slept
    assert stuck.answers()
    assert stuck.status()["restarts"] == before["restarts"]


def test_a_plugin_that_ignores_its_deadline_is_replaced_and_no_other_notices(
    limited: Limited,
) -> None:
    stuck, neighbour = limited("stuck"), limited("neighbour")
    before, beside = stuck.status(), neighbour.status()
    with _called_all_the_while(neighbour) as statuses:
        text = stuck.instance.call("stuck", {"seconds": 60}, tool="hang", expect=124)
        eventually(lambda: stuck.status()["restarts"] == before["restarts"] + 1 and stuck.answers())
    after = stuck.instance.status("stuck")

    assert "deadline_exceeded" in text
    assert (after["status"], after["reason"]) == ("active", "stuck")
    assert len(stuck.events("stuck")) == 1
    assert len(statuses) > 50
    assert set(statuses) == {200}
    assert neighbour.status()["restarts"] == beside["restarts"]


def test_no_more_calls_run_at_once_than_were_granted(limited: Limited) -> None:
    busy = limited("busy")
    since = time.monotonic()
    answers = _at_once(busy, 5)
    took = time.monotonic() - since

    assert [answer.status for answer in answers] == [200] * 5
    # Five sleeps of 0.4 s on two connections: three rounds.
    assert 1.2 <= took < 10


def test_what_the_queue_cannot_hold_is_refused_at_once(limited: Limited) -> None:
    busy = limited("busy")
    answers = _at_once(busy, 2 + QUEUE + 3)
    refused = [json.loads(answer.body) for answer in answers if answer.status != 200]

    assert sorted(answer.status for answer in answers) == [200] * (2 + QUEUE) + [429] * 3
    assert {problem["type"] for problem in refused} == {"urn:orchestrator:error:overloaded"}


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_above_the_cap_is_cut_off_and_the_plugin_goes_on(
    limited: Limited, *, streamed: bool
) -> None:
    busy = limited("busy")
    before = busy.status()
    within = busy.result("answer", mb=RESPONSE_MB, streamed=streamed)
    beyond = busy.instance.run(
        *("call", "busy", json.dumps({"mb": 4, "streamed": streamed}), "--tool", "answer"),
        expect=None,
    )

    assert (within.status, len(within.body)) == (200, RESPONSE_MB * MIB)
    assert (beyond.returncode == 76) is not streamed  # a stream has begun when it turns too large
    assert ("response_too_large" in beyond.stderr) is not streamed
    assert beyond.returncode != 0
    assert len(beyond.stdout) <= RESPONSE_MB * MIB
    assert busy.answers()
    assert busy.status()["restarts"] == before["restarts"]


def _at_once(probe: Probe, count: int) -> list[CallResult]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: probe.result("sleep", seconds=0.4), range(count)))


@contextmanager
def _called_all_the_while(probe: Probe) -> Iterator[list[int]]:
    """The status of every call made meanwhile, one after the other."""
    statuses: list[int] = []
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.02):
            statuses.append(probe.result("limits").status)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()
