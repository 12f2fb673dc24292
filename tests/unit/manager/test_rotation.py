"""A value that changed makes its users anew, and nobody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.manager.revisions import RevisionState
from orchestrator.model.status import SubState
from tests.unit.manager.fleet_house import FleetHouse

OLD, NEW = "0ld-and-s3cret", "n3w-and-s3cret"
SPEC = {"secrets": {"token": {"file": "token.txt"}}}


@pytest.fixture
def house(tmp_path: Path) -> FleetHouse:
    house = FleetHouse(tmp_path)
    house.plugin("user", secrets=["token"], spec=SPEC)
    house.plugin("other")
    token(house).write_text(OLD)
    return house


@asynccontextmanager
async def running(house: FleetHouse) -> AsyncIterator[None]:
    """A daemon that is left only when nothing is under way: a step cut off leaves a socket open."""
    async with house.open():
        yield
        await house.until(lambda: not house.daemon.manager.fleet.busy)
        await house.quiet()
        await house.until(lambda: not house.daemon.manager.fleet.busy)


def token(house: FleetHouse) -> Path:
    return house.manifests / "token.txt"


async def containers(house: FleetHouse) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for container in await house.engine.list({}):
        found.setdefault(container.label(LABEL_PLUGIN), set()).add(container.container_id)
    return found


def delivered(house: FleetHouse) -> set[str]:
    """What the wanted revision of `user` reads at /run/secrets/token."""
    folder = Path(house.daemon.manager.deployment("user").compiled.secrets_folder)
    return {path.read_text() for path in folder.glob("*")}


async def test_only_the_users_of_a_changed_value_are_made_anew(house: FleetHouse) -> None:
    async with running(house):
        await house.up()
        await house.all_run()
        before = await containers(house)
        nothing = await house.daemon.rotation.look()
        token(house).write_text(NEW)
        changed = await house.daemon.rotation.look()
        await house.all_run()
        after = await containers(house)
        again = await house.daemon.rotation.look()
        wanted = house.daemon.manager.rollouts.of("user").wanted
        found = delivered(house)

    assert (nothing, changed, again) == ([], ["user"], [])
    assert before["other"] == after["other"]
    assert before["user"].isdisjoint(after["user"])
    assert (wanted.number, wanted.why) == (2, "another value of secrets.token")
    assert found == {NEW}


async def test_the_old_container_serves_with_the_old_value_until_the_new_one_is_well(
    house: FleetHouse,
) -> None:
    async with running(house):
        await house.up()
        await house.all_run()
        [old] = (await containers(house))["user"]
        folder = Path(house.daemon.manager.deployment("user").compiled.secrets_folder)
        house.actors["user"].gate = asyncio.Event()  # the new one does not dial in
        token(house).write_text(NEW)
        await house.daemon.rotation.look()
        await house.quiet()
        fleet = house.daemon.manager.fleet
        serving = fleet.sandbox("user")
        kept = (folder / "token").read_text()
        house.actors["user"].gate.set()
        await house.all_run()
        after = await containers(house)

    assert serving is not None
    assert kept == OLD
    assert old not in after["user"]


async def test_a_value_with_which_it_fails_is_gone_back_from_and_not_tried_again(
    house: FleetHouse,
) -> None:
    house.policy(rollout={"min_healthy_seconds": 0, "progress_deadline_seconds": 1})
    async with running(house):
        await house.up()
        await house.all_run()
        await house.until(
            lambda: house.daemon.manager.rollouts.of("user").wanted.state is RevisionState.HEALTHY
        )
        [old] = (await containers(house))["user"]
        house.actors["user"].gate = asyncio.Event()
        token(house).write_text(NEW)
        await house.daemon.rotation.look()
        await house.until(lambda: _sped_up(house))
        again = await house.daemon.rotation.look()
        await house.quiet()
        still = (await containers(house))["user"]
        token(house).write_text(OLD + "3")
        mended = await house.daemon.rotation.look()
        house.actors["user"].gate.set()
        await house.all_run()

    assert again == []
    assert old in still
    assert mended == ["user"]


async def test_an_update_that_failed_stays_where_it_is_and_what_runs_gets_the_value(
    house: FleetHouse,
) -> None:
    house.policy(rollout={"min_healthy_seconds": 0, "progress_deadline_seconds": 1})
    async with running(house):
        await house.up()
        await house.all_run()
        actor = house.plugin("user", secrets=["token"], spec=SPEC, version="2.0.0")
        actor.gate = asyncio.Event()
        await house.up()
        await house.until(lambda: _sped_up(house))
        actor.gate.set()
        token(house).write_text(NEW)
        changed = await house.daemon.rotation.look()
        again = await house.daemon.rotation.look()
        await house.until(lambda: house.rows["user"].sub_state is SubState.ROLLED_BACK)
        version = house.daemon.manager.deployment("user").inputs.info.version
        await house.until(lambda: delivered(house) == {NEW})

    assert (changed, again, version) == (["user"], [], "1.0.0")


def _sped_up(house: FleetHouse) -> bool:
    house.later(1.0)
    house.daemon.manager.loop.wake()
    return house.daemon.manager.rollouts.of("user").wanted.state is RevisionState.FAILED


async def test_a_value_that_cannot_be_read_now_changes_nothing(house: FleetHouse) -> None:
    async with running(house):
        await house.up()
        await house.all_run()
        before = await containers(house)
        token(house).unlink()
        gone = await house.daemon.rotation.look()
        token(house).write_text(OLD)
        back = await house.daemon.rotation.look()
        await house.quiet()

        assert (gone, back) == ([], [])
        assert await containers(house) == before


async def test_a_change_while_no_daemon_ran_is_found_by_the_next(house: FleetHouse) -> None:
    async with running(house):
        await house.up()
        await house.all_run()
        before = await containers(house)
    token(house).write_text(NEW)
    async with running(house):
        await house.all_run()
        same = await containers(house)
        changed = await house.daemon.rotation.look()
        await house.all_run()

    assert same == before
    assert changed == ["user"]


async def test_up_finds_it_too(house: FleetHouse) -> None:
    async with running(house):
        await house.up()
        first = house.daemon.manager.deployment("user").compiled.digest
        await house.up()
        second = house.daemon.manager.deployment("user").compiled.digest
        token(house).write_text(NEW)
        await house.up()
        third = house.daemon.manager.deployment("user").compiled.digest

    assert first == second != third


async def test_the_daemon_looks_by_itself_once_in_each_interval(house: FleetHouse) -> None:
    async with running(house), asyncio.TaskGroup() as group:
        await house.up()
        await house.all_run()
        task = group.create_task(house.daemon.rotation.run())
        token(house).write_text(NEW)
        await house.quiet()
        too_early = house.daemon.manager.rollouts.of("user").wanted.number
        await house.until(lambda: _later(house) or delivered(house) == {NEW})
        await house.all_run()
        task.cancel()

    assert too_early == 1


def _later(house: FleetHouse) -> None:
    house.later(5.0)
    house.daemon.manager.loop.wake()


async def test_a_credential_that_changed_makes_its_users_anew_too(house: FleetHouse) -> None:
    host = "api.example.com:443"
    house.plugin(
        "caller",
        permissions=[{"external_api": {"hosts": [host]}}],
        spec={
            "permissions": [{"external_api": {"hosts": [host]}}],
            "inject": {host: {"file": "key.txt"}},
        },
    )
    key = house.manifests / "key.txt"
    key.write_text("0ld")
    async with running(house):
        await house.up()
        await house.all_run()
        key.write_text("n3w")
        changed = await house.daemon.rotation.look()
        why = house.daemon.manager.rollouts.of("caller").wanted.why
        await house.all_run()

    assert changed == ["caller"]
    assert why == f"another value of inject.{host}"


async def test_a_held_update_goes_on_waiting(house: FleetHouse) -> None:
    async with running(house):
        await house.up()
        await house.all_run()
        house.plugin(
            "user", secrets=["token"], spec=SPEC, version="2.0.0", permissions=["system_info"]
        )
        await house.up()
        held = dict(house.daemon.manager.fleet.held)
        token(house).write_text(NEW)
        changed = await house.daemon.rotation.look()
        await house.all_run()

        assert changed == ["user"]
        assert house.daemon.manager.fleet.held.keys() == held.keys() == {"user"}
        assert house.daemon.manager.deployment("user").inputs.info.version == "1.0.0"


async def test_values_and_the_key_of_their_digests_are_kept_nowhere_else(
    house: FleetHouse,
) -> None:
    said: list[str] = []
    async with running(house):
        house.daemon.bus.listen(lambda event: said.append(json.dumps(event.data)))
        await house.up()
        await house.all_run()
        token(house).write_text(NEW)
        await house.daemon.rotation.look()
        await house.all_run()
        said.append(json.dumps(house.daemon.manager.rollouts.of("user").wanted.why))
        labels = [container.labels for container in await house.engine.list({})]
    key = house.settings.secrets_key.read_bytes()
    kept = {
        path.name: path.read_bytes()
        for path in house.settings.home.rglob("*")
        if path.is_file() and path != house.settings.secrets_key
    }

    everything = b"\0".join([*kept.values(), repr((said, labels)).encode()])
    assert house.settings.secrets_key.stat().st_mode & 0o777 == 0o600
    assert len(key) == 32
    assert "state.db" in kept
    for value in (OLD.encode(), NEW.encode(), key, key.hex().encode()):
        assert value not in everything


async def test_a_variable_of_the_daemons_is_delivered(house: FleetHouse) -> None:
    house.plugin("user", secrets=["token"], spec={"secrets": {"token": {"environment": "TOKEN"}}})
    house.environment = {"ORCHESTRATOR_SECRET_TOKEN": NEW}
    async with running(house):
        await house.up()
        await house.all_run()

        assert delivered(house) == {NEW}
