"""Steps whose plugin is wanted no more, or otherwise, by the time that they come or end."""

from pathlib import Path

import pytest

from orchestrator.engine.base import LABEL_PLUGIN, EngineFailure
from orchestrator.manager.actions import Action, Adopt, Launch, Prepare, Start
from tests.unit.manager.permission_house import PermissionHouse


@pytest.mark.parametrize(
    "action",
    [
        Prepare(plugin_id="gone"),
        Start(plugin_id="gone", sandbox_id="gone-1"),
        Launch(plugin_id="gone", container_id="c1"),
        Adopt(plugin_id="gone", container_id="c1"),
    ],
    ids=lambda action: type(action).__name__,
)
async def test_what_was_planned_for_a_plugin_that_is_wanted_no_more_is_not_done(
    tmp_path: Path, action: Action
) -> None:
    """A KeyError would end the daemon: `down` comes between the plan and its first line."""
    house = PermissionHouse(tmp_path)
    async with house.open():
        loop = house.daemon.manager.loop
        await loop._steps.perform(action, loop._fleet.policy)

    assert await house.engine.list({LABEL_PLUGIN: "gone"}) == []


@pytest.mark.parametrize("changed", [True, False])
async def test_a_step_that_fails_for_an_earlier_revision_is_no_failure_of_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, changed: bool
) -> None:
    """A disk that could not shrink, say, and a manifest that no longer asks for it."""
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest()
    async with house.open():
        await house.up()
        loop, fleet = house.daemon.manager.loop, house.daemon.manager.fleet

        async def fail(*_: object) -> None:
            if changed:
                house.manifest(limits={"max_memory_mb": 64})
                await house.up()
            raise EngineFailure("too small")

        monkeypatch.setattr(loop._steps, "perform", fail)
        sandbox_id = house.deployment.compiled.sandbox_id
        await loop._perform(Start(plugin_id="notes", sandbox_id=sandbox_id))

        assert len(fleet.plugin_history("notes").failures) == (0 if changed else 1)


async def test_an_adoption_that_fails_leaves_nothing_that_seems_to_be_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would try it again, and calls would wait for it for ever."""
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest()
    async with house.open():
        await house.up()
        loop, fleet = house.daemon.manager.loop, house.daemon.manager.fleet
        running = await house.runs()
        found = await house.engine.inspect(running)
        assert found is not None
        fleet.containers[running] = found
        fleet.mark_initialized(found)

        async def unreadable(*_: object) -> None:
            raise EngineFailure("a credential cannot be read")

        monkeypatch.setattr(loop._steps._access, "open", unreadable)
        with pytest.raises(EngineFailure):
            await loop._steps.perform(Adopt(plugin_id="notes", container_id=running), fleet.policy)

        assert fleet.sandboxes == {}
