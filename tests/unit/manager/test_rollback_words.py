"""What is known of a revision that was gone back from: its container and its log are gone."""

from dataclasses import asdict
from pathlib import Path

from orchestrator.manager.revisions import Revision, RevisionState
from orchestrator.manager.rollout_commands import failed_row
from orchestrator.model.events import EventName
from orchestrator.model.status import SubState
from tests.unit.manager.fleet_house import Actor, FleetHouse

SECRET = "hunter2-and-more"  # noqa: S105 - nobody's
HISTORY = "read its last lines: `orchestrator rollout history notes`"


async def gone_back_from(house: FleetHouse, actor: Actor) -> Revision:
    """Version 1 runs, version 2 is what the actor makes of it."""
    house.plugin("notes")
    await house.up()
    await house.all_run()
    house.plugin("notes", actor=actor, version="2.0.0")
    await house.up()
    rollouts, fleet = house.daemon.manager.rollouts, house.daemon.manager.fleet
    for failures in (1, 2, 3):
        await house.until(
            lambda n=failures: (
                rollouts.rolled_back_total or len(fleet.plugin_history("notes").failures) >= n
            )
        )
        house.later(5.0)
    await house.until(lambda: rollouts.rolled_back_total)
    await house.settled(notes=SubState.ROLLED_BACK)
    await house.quiet()
    return rollouts.of("notes").wanted


async def test_its_last_words_are_kept_with_it_and_outlive_the_daemon(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    async with house.open():
        failed = await gone_back_from(
            house, Actor(exits=1, prints=("starting", "ImportError: no numpy"))
        )
        row = failed_row(house.daemon.manager.rollouts.of("notes"))
        last_words = dict(house.daemon.manager.fleet.last_words)
        house.actors["notes"] = Actor()
    async with house.open():
        again = house.daemon.manager.rollouts.of("notes").wanted

    assert failed.state is RevisionState.FAILED
    assert failed.words.lines == ("starting", "ImportError: no numpy")
    assert failed.words.hints == ("it says: ImportError: no numpy",)
    assert failed.words.repairs == (HISTORY,)
    assert row is not None
    assert row["last_words"] == asdict(failed.words)
    assert last_words == {}  # what runs has not failed
    assert again.words == failed.words


async def test_the_event_says_what_may_mend_it_and_nothing_that_it_wrote(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    async with house.open():
        await gone_back_from(house, Actor(exits=1, prints=("ImportError: no numpy",)))
    told = [
        event.data["repairs"]
        for event in house.told
        if event.type in {EventName.ROLLOUT_FAILED, EventName.ROLLOUT_ROLLED_BACK}
    ]

    assert told == [[HISTORY]] * 2
    assert "numpy" not in str([event.data for event in house.told])


async def test_what_is_kept_is_bounded_and_without_secrets(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    (tmp_path / "key").write_text(SECRET)
    spec = {"secrets": {"key": {"file": str(tmp_path / "key")}}}
    lines = (*(f"line {n}" for n in range(30)), f"key={SECRET}!\x1b[2J", "x" * 10_000)
    async with house.open():
        house.plugin("notes", secrets=["key"], spec=spec)
        await house.up()
        await house.all_run()
        house.plugin("notes", secrets=["key"], spec=spec, version="1.5.0")
        await house.up()
        await house.all_run()
        actor = Actor(exits=1, prints=lines)
        house.plugin("notes", secrets=["key"], spec=spec, version="2.0.0", actor=actor)
        await house.up()
        rollouts = house.daemon.manager.rollouts
        while not rollouts.rolled_back_total:
            house.later(5.0)
            await house.quiet()
        kept = rollouts.of("notes").wanted.words.lines

    assert (len(kept), kept[0]) == (20, "line 12")
    assert kept[-2] == "key=[secret key]!\N{REPLACEMENT CHARACTER}[2J"
    assert len(kept[-1]) == 300


async def test_one_that_was_never_well_and_never_ended_has_last_words_too(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    house.policy(rollout={"min_healthy_seconds": 2.0, "progress_deadline_seconds": 60})
    ill = Actor(says={"state": "error", "detail": "no index"}, prints=("no index: giving up",))
    async with house.open():
        house.plugin("notes")
        await house.up()
        await house.settled(notes=SubState.RUNNING)
        await house.probe("notes")
        house.later(3.0)
        rollouts = house.daemon.manager.rollouts
        await house.until(lambda: rollouts.completed_total)
        house.plugin("notes", actor=ill, version="2.0.0")
        await house.up()
        await house.settled(notes=SubState.UPDATING)
        while not rollouts.rolled_back_total:
            house.later(10.0)
            await house.quiet()
        failed = rollouts.of("notes").wanted

    assert failed.reason.startswith("not well within 60 s")
    assert failed.words.lines == ("no index: giving up",)
    assert failed.words.repairs == (HISTORY,)


async def test_what_goes_through_at_last_has_no_last_words_any_more(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    async with house.open():
        await gone_back_from(house, Actor(exits=1, prints=("ImportError: no numpy",)))
        rollouts = house.daemon.manager.rollouts
        house.actors["notes"] = Actor()
        rollouts.retry("notes")
        retried = rollouts.of("notes").wanted
        house.daemon.manager.loop.wake()
        await house.all_run()

    assert (retried.reason, retried.words.lines) == ("", ())
    assert failed_row(rollouts.of("notes")) is None
