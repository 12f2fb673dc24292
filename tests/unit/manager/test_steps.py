"""Steps that were planned for a plugin which nobody wants any more."""

from pathlib import Path

import pytest

from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.manager.plan import Action, Adopt, Launch, Prepare, Start
from tests.unit.manager.permission_house import PermissionHouse


@pytest.mark.parametrize(
    "action",
    [
        Prepare(plugin_id="gone"),
        Start(plugin_id="gone"),
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
        await loop._steps.perform(action, loop.policy)

    assert await house.engine.list({LABEL_PLUGIN: "gone"}) == []
