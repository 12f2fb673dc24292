"""`/v1/plugins/{id}/start|stop|remove` of a whole daemon on in-memory backends."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.manager.permission_house import PermissionHouse
from tests.unit.server.event_asking import ask

ONE = "/v1/plugins/notes"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest()
    async with house.open():
        await house.up()
        yield house


async def test_each_says_whether_it_changed_what_is_wanted(house: PermissionHouse) -> None:
    verbs = ["stop", "stop", "start", "start", "remove"]
    answers = [await ask(house, "POST", f"{ONE}/{verb}", {"who": "ada"}) for verb in verbs]

    assert [answer.status for answer in answers] == [200] * 5
    assert [answer.json["changed"] for answer in answers] == [True, False, True, False, True]


@pytest.mark.parametrize("verb", ["start", "stop", "remove"])
async def test_a_plugin_that_nobody_deployed_is_not_found(
    house: PermissionHouse, verb: str
) -> None:
    answer = await ask(house, "POST", f"/v1/plugins/ghost/{verb}")

    assert (answer.status, answer.json["code"]) == (404, "plugin_not_found")


@pytest.mark.parametrize("wish", [{"state": "running"}, {"who": ""}, {"why": "x" * 1_001}, b"{"])
async def test_a_body_of_another_shape_changes_nothing(house: PermissionHouse, wish: Any) -> None:
    answer = await ask(house, "POST", f"{ONE}/stop", wish)

    assert (answer.status, answer.json["code"]) == (422, "switch_request_invalid")
    assert house.deployment.running


async def test_reading_it_is_no_command(house: PermissionHouse) -> None:
    answer = await ask(house, "GET", f"{ONE}/remove")

    assert answer.status == 405
    assert house.deployment.running
