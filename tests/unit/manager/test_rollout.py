"""Rollouts in a daemon: what is judged, gone back to, kept away, and remembered."""

import pytest

from orchestrator.manager.fleet import Report
from orchestrator.manager.revision_records import REVISIONS, stored_rollouts
from orchestrator.manager.revisions import RevisionState
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.status import RolloutState
from orchestrator.store.base import StoreUnavailable
from tests.unit.manager.rollout_house import RolloutHouse

API = PermissionKind.EXTERNAL_API
HOSTS = [{"external_api": {"hosts": ["a.example:443"]}}]


async def test_an_update_that_is_well_for_long_enough_is_completed(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.wanted(2)
    before = house.row.rollout
    wake = await house.pass_after(house.well())
    await house.pass_after(1.2)
    during = house.row
    await house.pass_after(0.8)

    assert before is not None
    assert before.moving
    assert wake == pytest.approx(house.played.at)
    assert during.detail.startswith("updating: revision 2 beside 1, healthy for 1.2 of 2 s")
    assert house.states == [(1, "1.0.0", "healthy"), (2, "2.0.0", "healthy")]
    assert house.news == ["started", "completed", "started", "completed"]
    assert house.row.detail == "running"
    assert (house.rollouts.completed_total, house.rollouts.rolled_back_total) == (2, 0)


async def test_an_update_that_fails_to_start_is_gone_back_from(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    row = house.row

    assert house.runs_version == "1.0.0"
    assert house.news[-2:] == ["failed", "rolled_back"]
    assert row.detail.startswith(
        "ROLLED BACK to revision 1: revision 2 failed 3 times in a row: exit_code_3: it ended; "
    )
    assert row.rollout is not None
    assert (row.rollout.state, row.rollout.revision, row.rollout.serving, row.rollout.moving) == (
        RolloutState.ROLLED_BACK,
        2,
        1,
        False,
    )
    assert [told[:3] for told in house.audited("rollout")[-2:]] == [
        ("failed", "orchestrator", "failed 3 times in a row: exit_code_3: it ended"),
        ("done", "orchestrator", "failed 3 times in a row: exit_code_3: it ended"),
    ]


async def test_what_is_gone_back_to_takes_the_calls_as_soon_as_it_is_ready(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    fleet = house.daemon.manager.fleet
    before = fleet.want("notes").min_healthy_seconds
    await house.bad(2)
    back = fleet.want("notes").min_healthy_seconds
    await house.wanted(3)

    assert (before, back, fleet.want("notes").min_healthy_seconds) == (2.0, 0.0, 2.0)


async def test_calls_wait_while_an_update_may_still_be_gone_back_from(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.wanted(1)
    fleet = house.daemon.manager.fleet
    fleet.waiting["notes"] = "restarting in 0.5 s"
    at_first = fleet.is_expected("notes")
    await house.good(1)
    await house.wanted(2)
    during = fleet.is_expected("notes")
    await house.bad(2)

    assert (at_first, during, fleet.is_expected("notes")) == (False, True, False)


async def test_what_has_not_taken_over_makes_nothing_of_what_takes_the_calls(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    before = dict(house.daemon.manager.fleet.containers)
    await house.wanted(2)
    house.well()
    house.daemon.manager.fleet.containers |= before
    house.ill()

    assert (house.row.status, house.row.sub_state) == ("active", "updating")
    assert house.row.detail.startswith("updating: revision 2 beside 1")


async def test_what_never_said_how_it_does_is_asked_soon(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.wanted(1)
    house.well()
    fleet, prober = house.daemon.manager.fleet, house.daemon.prober
    [sandbox] = fleet.sandboxes.values()
    fleet.routes["notes"] = (sandbox,)
    silent = prober._candidates()
    fleet.reports[sandbox.sandbox_id] = Report(state="ready")

    assert silent == [sandbox]
    assert prober._candidates() == []


async def test_an_update_that_is_never_well_is_gone_back_from_at_the_deadline(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.wanted(2)
    house.images_there()
    house.well()
    house.ill()
    for _ in range(12):
        await house.pass_after(10.0)
    just_before = house.runs_version
    await house.pass_after(10.0)

    assert just_before == "2.0.0"
    assert house.runs_version == "1.0.0"
    assert house.rollout.wanted.reason == "not well within 120 s: says of itself: no index"


async def test_one_that_ends_again_before_it_was_well_for_long_enough_has_not_taken_over(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.wanted(2)
    for _ in range(3):
        await house.pass_after(house.well())
        await house.pass_after(1.9)
        house.fails()
        house.ends()
        await house.pass_after(0.2)

    assert house.runs_version == "1.0.0"
    assert house.rollout.wanted.state is RevisionState.FAILED


async def test_time_in_which_it_could_not_start_counts_against_nobody(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.wanted(2)
    for _ in range(60):  # its image is being built
        await house.pass_after(10.0)
    house.images_there()
    house.daemon.manager.fleet.waiting["notes"] = "waiting for search"
    for _ in range(60):
        await house.pass_after(10.0)
    house.daemon.manager.fleet.waiting.clear()
    await house.pass_after(3_600.0)  # the engine did not answer: there was no pass
    await house.pass_after(60.0)

    assert house.rollout.wanted.state is RevisionState.PROGRESSING


async def test_the_same_files_again_do_not_try_what_failed_and_say_why(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    await house.up()

    assert house.runs_version == "1.0.0"
    assert "ROLLED BACK" in house.row.detail
    assert "`orchestrator rollout resume notes` tries it again" in house.row.detail
    assert len(house.rollout.revisions) == 2


async def test_what_failed_stays_away_after_the_daemon_was_killed(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    async with house.open():
        runs, asked = house.runs_version, house.rollouts.asked(house.deployment).info.version
        await house.up()

        assert (runs, asked) == ("1.0.0", "2.0.0")
        assert house.runs_version == "1.0.0"
        assert "ROLLED BACK" in house.row.detail


async def test_a_mended_version_is_tried_at_once(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    await house.good(3)

    assert house.runs_version == "3.0.0"
    assert house.states[1:] == [(2, "2.0.0", "failed"), (3, "3.0.0", "healthy")]
    assert house.row.detail == "running"


async def test_what_was_rolled_back_remembers_what_was_asked_for(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    [record] = house.daemon.manager.fleet.store.load("desired").values()

    info = record["info"]
    assert isinstance(info, dict)
    assert info["version"] == "2.0.0"


async def test_what_was_wanted_and_is_to_stop_stops_whichever_revision_runs(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    house.manifest(state="stopped")
    await house.up()

    assert house.runs_version == "1.0.0"
    assert house.deployment.running is False


# -- what is kept -----------------------------------------------------------------------------


async def test_what_is_remembered_is_what_was_kept(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    stored = stored_rollouts(house.daemon.manager.fleet.store)

    assert stored == {"notes": house.rollout}


async def test_a_record_that_cannot_be_read_begins_anew(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    house.daemon.manager.fleet.store.put_all(REVISIONS, {"notes": {"other": "shape"}})
    async with house.open():
        assert house.states == [(1, "1.0.0", "progressing")]


async def test_a_daemon_killed_between_two_records_makes_the_revision_later(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    store = house.daemon.manager.fleet.store
    before = store.load(REVISIONS)
    await house.wanted(2)
    store.put_all(REVISIONS, before)
    async with house.open():
        assert house.states == [(1, "1.0.0", "healthy"), (2, "2.0.0", "progressing")]
        assert [
            one.inputs.info.version for one in house.daemon.manager.fleet.earlier["notes"].values()
        ] == ["1.0.0"]


async def test_what_could_not_be_written_is_written_when_the_disk_has_room_again(
    rollout_house: RolloutHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = rollout_house
    await house.good(1)
    fleet = house.daemon.manager.fleet

    def full(*_: object) -> None:
        raise StoreUnavailable("no space left on device")

    await house.wanted(2)
    with monkeypatch.context() as patch:
        patch.setattr(fleet.store, "put_all", full)
        await house.pass_after(house.well())
        await house.pass_after(5.0)
        told = fleet.store_trouble
    not_yet = stored_rollouts(fleet.store)["notes"].wanted.state
    await house.pass_after(1.0)

    assert told == "no space left on device"
    assert not_yet is RevisionState.PROGRESSING
    assert stored_rollouts(fleet.store)["notes"].wanted.state is RevisionState.HEALTHY


async def test_after_down_nothing_is_kept(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    house.daemon.manager.fleet.containers.clear()
    await house.daemon.manager.down(with_volumes=False)

    assert house.daemon.manager.fleet.store.load(REVISIONS) == {}
