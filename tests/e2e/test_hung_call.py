"""A call that outlives its deadline costs its own plugin at most, and no other one anything."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from tests.support.instance import PLUGINS, Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


@contextmanager
def ended_by_the_way_out() -> Iterator[Event]:
    """Set also when the test fails: a pool waits for its threads."""
    end = Event()
    try:
        yield end
    finally:
        end.set()


def codes_until(instance: Instance, plugin_id: str, end: Event) -> list[int]:
    """Exit codes of call after call."""
    codes = []
    while not end.is_set():
        codes.append(instance.run("call", plugin_id, expect=None).returncode)
    return codes


def test_a_plugin_that_ignores_its_deadline_is_replaced_and_its_neighbour_feels_nothing(
    instance: Instance, workshop: Workshop
) -> None:
    instance.manifest("e2e-worker", build=PLUGINS / "worker")
    workshop.small("e2e-other")
    instance.up()
    with ThreadPoolExecutor() as threads, ended_by_the_way_out() as end:
        calls: Future[list[int]] = threads.submit(codes_until, instance, "e2e-other", end)
        since = time.monotonic()
        late = instance.run("call", "e2e-worker", "--tool", "hang", "--timeout", "1", expect=124)
        took = time.monotonic() - since
        eventually(lambda: instance.ps()["e2e-worker"]["restarts"] == 1)
        answer = eventually(lambda: _greeting(instance))
    codes = calls.result()
    rows = instance.ps()

    assert "[deadline_exceeded]" in late.stderr
    assert 1.0 <= took < 15.0
    assert answer == '{"greeting":"hello"}\n'
    assert rows["e2e-worker"]["reason"] == "stuck"
    assert len(codes) > 3
    assert set(codes) == {0}
    assert (rows["e2e-other"]["restarts"], rows["e2e-other"]["status"]) == (0, "active")


def _greeting(instance: Instance) -> str:
    return instance.run("call", "e2e-worker", "--tool", "greet", expect=None).stdout


def test_a_plugin_that_heeds_its_deadline_keeps_its_container(instance: Instance) -> None:
    instance.manifest("e2e-worker", build=PLUGINS / "worker")
    instance.up()
    started = instance.inspect("e2e-worker")["State"]["StartedAt"]
    late = instance.run(
        *("call", "e2e-worker", '{"seconds": 60}', "--tool", "rest", "--timeout", "0.5"), expect=124
    )
    time.sleep(2.0)

    assert "[deadline_exceeded]" in late.stderr
    assert instance.call("e2e-worker", tool="greet") == {"greeting": "hello"}
    assert instance.inspect("e2e-worker")["State"]["StartedAt"] == started
    assert instance.ps()["e2e-worker"]["restarts"] == 0
