"""Why a plugin ended, and what is done and told about it, over the in-memory engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.engine.base import EngineFailure
from orchestrator.model.status import PluginState, SubState
from tests.unit.manager.fleet_house import Actor, FleetHouse

SECRET = "hunter2-and-more"  # noqa: S105 - nobody's


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[FleetHouse]:
    house = FleetHouse(tmp_path)
    async with house.open():
        yield house


async def one(house: FleetHouse, **fields: object) -> Actor:
    """A plugin that runs."""
    actor = house.plugin("notes", **fields)  # type: ignore[arg-type]
    await house.up()
    await house.all_run()
    return actor


async def fail_until_given_up(house: FleetHouse) -> int:
    """How often it was started."""
    while house.sub_state("notes") is not SubState.GAVE_UP:
        await house.settled(notes=SubState.BACKING_OFF)
        failures = len(house.daemon.manager.fleet.plugin_history("notes").failures)
        house.later(60.0)
        await house.until(
            lambda n=failures: (
                len(house.daemon.manager.fleet.plugin_history("notes").failures) > n
                and house.sub_state("notes") in {SubState.BACKING_OFF, SubState.GAVE_UP}
            )
        )
    await house.quiet()
    return sum(verb == "start" for verb, _ in house.engine.calls)


# -- how it ended -------------------------------------------------------------------------------


async def test_an_end_that_nobody_wanted_is_told_with_its_exit_code(house: FleetHouse) -> None:
    await one(house)
    house.die("notes", exit_code=7)
    await house.settled(notes=SubState.BACKING_OFF)
    row = house.rows["notes"]
    house.later(0.5)
    await house.all_run()
    [died] = house.data("notes", "died")

    assert (row.status, row.reason) == (PluginState.ERROR, "exit_code_7")
    assert row.detail == "restarting in 0.5 s; exit_code_7: it ended with exit code 7"
    assert (died["reason"], died["exit_code"]) == ("exit_code_7", 7)
    assert house.rows["notes"].restarts == 1


async def test_an_end_for_memory_is_told_apart_from_a_kill(house: FleetHouse) -> None:
    await one(house)
    house.die("notes", exit_code=137)
    await house.settled(notes=SubState.BACKING_OFF)
    killed = house.rows["notes"].reason
    house.later(1.0)
    await house.all_run()
    house.oom("notes")
    await house.settled(notes=SubState.BACKING_OFF)

    assert (killed, house.rows["notes"].reason) == ("exit_code_137", "oom_killed")
    assert house.events("notes", "oom", "died") == ["died", "oom", "died"]


async def test_a_wanted_stop_is_no_failure(house: FleetHouse) -> None:
    await one(house)
    house.plugin("notes", spec={"state": "stopped"})
    await house.up()
    await house.settled(notes=SubState.STOPPED)
    await house.quiet()

    assert house.events("notes", "died", "stopped", "gave_up") == ["stopped"]
    assert house.rows["notes"].restarts == 0


async def test_a_plugin_that_never_dials_in_fails_at_its_deadline(house: FleetHouse) -> None:
    house.policy(lifecycle={"start_deadline_seconds": 1})
    house.plugin("notes", actor=Actor(dials=False))
    await house.up()
    await house.settled(notes=SubState.BACKING_OFF)

    assert house.rows["notes"].reason == "start_deadline"
    assert house.events("notes", "start_failed", "died") == ["start_failed", "died"]


async def test_a_plugin_that_refuses_to_start_is_quoted(house: FleetHouse) -> None:
    house.plugin("notes", actor=Actor(refuses="the moon is not full"))
    await house.up()
    await house.settled(notes=SubState.BACKING_OFF)

    assert house.rows["notes"].reason == "initialize_refused"
    assert "the moon is not full" in house.rows["notes"].detail


async def test_three_probes_without_an_answer_end_it(
    house: FleetHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.manager.probe.PROBE_SECONDS", 0.05)
    actor = await one(house)
    actor.answers = False
    for _ in range(2):
        await house.probe("notes")
    still = house.sub_state("notes")
    actor.answers = True
    actor.exits = None
    await house.probe("notes")
    await house.until(lambda: house.rows["notes"].reason == "stuck")

    assert still is SubState.UNHEALTHY
    assert house.events("notes", "stuck", "died") == ["stuck", "died"]


async def test_a_plugin_that_calls_itself_broken_is_unhealthy_and_left_running(
    house: FleetHouse,
) -> None:
    actor = await one(house)
    actor.says = {"state": "error", "detail": "no disk"}
    await house.probe("notes")
    await house.quiet()
    row = house.rows["notes"]

    assert (row.status, row.sub_state) == (PluginState.ERROR, SubState.UNHEALTHY)
    assert row.detail == "says of itself: no disk"
    assert house.events("notes", "died", "stuck") == []


async def test_an_end_at_its_start_is_counted_each_time_and_followed_by_its_back_off(
    house: FleetHouse,
) -> None:
    """A look that began before the step ended once let it be started again at once."""
    house.plugin("notes", actor=Actor(exits=1))
    await house.up()
    await house.settled(notes=SubState.BACKING_OFF)
    for _ in range(5):
        await house.quiet()

    assert sum(verb == "start" for verb, _ in house.engine.calls) == 1
    assert len(house.daemon.manager.fleet.plugin_history("notes").failures) == 1


# -- given up -----------------------------------------------------------------------------------


async def test_a_plugin_is_given_up_after_ten_restarts_told_once_with_what_may_mend_it(
    house: FleetHouse,
) -> None:
    house.plugin("notes", actor=Actor(exits=1, prints=("ValueError: no moon",)))
    await house.up()
    starts = await fail_until_given_up(house)
    house.later(7_200.0)
    await house.quiet()
    words = house.daemon.manager.fleet.last_words["notes"]
    [told] = house.data("notes", "gave_up")

    assert starts == 11
    assert sum(verb == "start" for verb, _ in house.engine.calls) == 11
    assert house.rows["notes"].status is PluginState.ERROR
    assert house.rows["notes"].detail.startswith("gave up: too many failures")
    assert words.lines == ("ValueError: no moon",)
    assert words.hints == ("it says: ValueError: no moon",)
    assert words.repairs == ("read all that it wrote: `orchestrator logs notes`",)
    assert told["reason"] == "exit_code_1"
    assert told["repairs"] == [*words.repairs]
    assert "moon" not in str(told)


async def test_what_fails_without_a_container_is_given_up_as_well(house: FleetHouse) -> None:
    house.plugin("notes")
    for number in range(1, 12):
        house.engine.fail_next("create", EngineFailure("no more names"), nth=number)
    await house.up()
    await fail_until_given_up(house)

    [told] = house.data("notes", "gave_up")
    assert told["reason"] == "engine_failure"
    assert house.daemon.manager.fleet.last_words["notes"].lines == ()


async def test_the_next_up_tries_again_and_forgets_what_was(house: FleetHouse) -> None:
    actor = house.plugin("notes", actor=Actor(exits=1))
    await house.up()
    await fail_until_given_up(house)
    actor.exits = None
    await house.up()
    await house.all_run()
    await house.quiet()

    assert house.rows["notes"].reason == ""
    assert house.daemon.manager.fleet.last_words == {}


async def test_a_new_daemon_remembers_the_last_words_and_does_not_tell_again(
    tmp_path: Path,
) -> None:
    house = FleetHouse(tmp_path)
    house.plugin("notes", actor=Actor(exits=1, prints=("farewell",)))
    async with house.open():
        await house.up()
        await fail_until_given_up(house)
    [told] = house.data("notes", "gave_up")
    async with house.open():
        await house.settled(notes=SubState.GAVE_UP)
        await house.quiet()

        assert house.data("notes", "gave_up") == [told]
        assert house.daemon.manager.fleet.last_words["notes"].lines == ("farewell",)


async def test_what_is_kept_of_a_log_is_bounded_harmless_and_without_secrets(
    tmp_path: Path,
) -> None:
    house = FleetHouse(tmp_path)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    lines = tuple(f"line {n}" for n in range(30))
    evil = ("\x1b[2Jgone\x07", f"key={SECRET}!", "x" * 10_000)
    house.plugin(
        "notes",
        actor=Actor(exits=1, prints=(*lines, *evil)),
        secrets=["key"],
        spec={"secrets": {"key": {"file": str(tmp_path / "key")}}},
    )
    async with house.open():
        await house.up()
        await house.settled(notes=SubState.BACKING_OFF)
        await house.until(lambda: house.daemon.manager.fleet.last_words)
        kept = house.daemon.manager.fleet.last_words["notes"].lines

    assert len(kept) == 20
    assert kept[0] == "line 13"
    assert kept[-3:-1] == (
        "\N{REPLACEMENT CHARACTER}[2Jgone\N{REPLACEMENT CHARACTER}",
        "key=[secret key]!",
    )
    assert len(kept[-1]) == 300


async def test_only_the_lines_of_the_run_that_failed_are_kept(house: FleetHouse) -> None:
    actor = house.plugin("notes", actor=Actor(exits=1, prints=("first run",)))
    await house.up()
    await house.settled(notes=SubState.BACKING_OFF)
    actor.prints = ("second run",)
    house.later(5.0)
    await house.until(lambda: len(house.data("notes", "died")) == 2)
    await house.until(
        lambda: house.daemon.manager.fleet.last_words["notes"].lines == ("second run",)
    )


async def test_more_memory_is_advised_as_far_as_it_would_be_admitted(house: FleetHouse) -> None:
    house.policy(ceilings={"max_memory_mb": 48})
    await one(house)
    house.oom("notes")
    await house.until(lambda: house.daemon.manager.fleet.last_words)
    manifest = house.manifests / "notes.yaml"

    assert house.daemon.manager.fleet.last_words["notes"].repairs[0] == (
        f"raise spec.limits.max_memory_mb in {manifest} from 32 to 48, say; "
        "`plan` admits up to 48 (policy.ceilings.max_memory_mb)"
    )
