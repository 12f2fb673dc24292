"""A fault in one plugin's step is that plugin's failure, and ends nothing else."""

import asyncio
import logging
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_PLUGIN, LABEL_SANDBOX, EngineFailure
from orchestrator.manager import mishaps
from orchestrator.manager.actions import Remove
from orchestrator.manager.mishaps import Pauses, attempt
from tests.unit.manager.loop_house import LABELS, LoopHouse


async def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineFailure("500"), "engine_failure"),
        (OSError(28, "No space left on device"), "host_failure"),
        (KeyError("notes"), "internal_error"),
        (ExceptionGroup("two", [ValueError("one")]), "internal_error"),
    ],
)
async def test_whatever_a_step_raises_becomes_an_error_of_ours(error: Exception, code: str) -> None:
    found = await attempt(raise_(error), "starting notes")

    assert found is not None
    assert found.code == code


async def test_a_fault_of_ours_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        found = await attempt(raise_(KeyError("notes")), "starting notes")

    assert "Traceback" in caplog.text
    assert "starting notes" in caplog.text
    assert "KeyError: 'notes'" in str(found)


async def test_a_step_that_is_cut_off_stays_cut_off() -> None:
    with pytest.raises(asyncio.CancelledError):
        await attempt(raise_(asyncio.CancelledError()), "starting notes")


async def test_a_fault_in_one_plugins_step_ends_neither_the_loop_nor_the_others_steps(
    make: Any,
) -> None:
    house = LoopHouse()
    broken = make.deployment()
    well = make.deployment(info={"plugin_id": "well"})

    async def play(action: Any) -> None:
        if action.plugin_id == "notes":
            raise ZeroDivisionError("a bug")

    house.steps.play = play
    async with house.running():
        house.want(broken, well)
        await house.until(lambda: len(house.steps.taken) > 5)

    steps = [action.plugin_id for action in house.steps.taken]
    assert "well" in steps
    assert house.fleet.plugin_history("notes").reason == "internal_error"
    assert "ZeroDivisionError: a bug" in house.fleet.plugin_history("notes").detail
    assert house.fleet.plugin_history("well").failures == ()
    assert "plugin.start_failed" in house.types()


async def test_a_removal_that_fails_is_not_tried_again_at_once(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mishaps, "FIRST_PAUSE_SECONDS", 3_600.0)
    monkeypatch.setattr(mishaps, "MOST_PAUSE_SECONDS", 3_600.0)
    house = LoopHouse()
    labels = {**LABELS, LABEL_PLUGIN: "notes", LABEL_SANDBOX: "notes-1"}
    spec = make.deployment().compiled.spec
    await house.engine.create(spec, name="notes", labels=labels)
    house.steps.play = lambda _: raise_(EngineFailure("it is stuck"))
    async with house.running():
        house.want()
        await house.until(lambda: bool(house.steps.taken))
        for _ in range(20):
            house.loop.wake()
            await house.loop.passed()

    assert [type(action) for action in house.steps.taken] == [Remove]


def test_the_pause_after_a_failed_step_doubles_to_a_minute_and_success_ends_it() -> None:
    pauses = Pauses()
    grown = [pauses.after_failure("a") for _ in range(9)]
    pauses.after_success("a")

    assert grown == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert pauses.after_failure("b") == 0.5
    assert pauses.after_failure("a") == 0.5
