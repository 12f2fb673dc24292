"""Every route that changes something leaves a record of who did it; reading leaves none."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from orchestrator.server.webhook import PATH as WEBHOOK
from tests.unit.manager.permission_house import PermissionHouse
from tests.unit.server.test_event_routes import ask

USER = "ada"
READING = {"GET", "HEAD"}
EXCEPTIONS = {
    WEBHOOK: "forges send it, not a user; what is refused of it is in the log: test_webhook.py",
}
"""Routes that are no GET and leave no record with a user, and why."""
NAMES = {"plugin_id": "notes", "permission": "user_interface", "update": "0123"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest()
    async with house.open():
        await house.up()
        yield house


def bodies(house: PermissionHouse, folder: Path) -> dict[str, dict[str, Any]]:
    """What each is sent; all others a user and a reason."""
    return {
        "/v1/desired": {"paths": [str(house.manifests)], "config": str(house.config)},
        "/v1/backup": {"path": str(folder / "b.tar"), "volumes": False},
        "/v1/audit/archive": {"folder": str(folder / "archive"), "before": 0.0},
        "/v1/code": {"code": "1"},
        "/v1/events": {"type": "a.b", "who": USER},
        "/v1/events/replay": {"all": True, "who": USER},
        "/v1/shutdown": {},
        "/v1/gitops": {"who": USER},
    }


def routes(house: PermissionHouse) -> list[tuple[str, str]]:
    """(method, path), those that end the daemon last."""
    found = [
        (method, route.path)
        for route in house.daemon.api.app().routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - READING
    ]
    return sorted(found, key=lambda it: (it[1] == "/v1/shutdown", it[1].endswith("remove"), it[1]))


async def records(house: PermissionHouse, since: int) -> list[dict[str, Any]]:
    found = (await ask(house, "GET", "/v1/audit?count=1000")).json
    return [record for record in found if record["sequence"] > since]


async def test_after_each_there_is_a_record_with_the_user(
    house: PermissionHouse, tmp_path: Path
) -> None:
    chosen, silent = bodies(house, tmp_path), []
    for method, path in routes(house):
        since = house.daemon.audit.place.sequence
        wish = chosen.get(path, {"who": USER, "why": "a test"})
        answer = await ask(house, method, path.format(**NAMES), wish, user=USER)
        named = [it for it in await records(house, since) if it["data"].get("user") == USER]
        if not named or (answer.status == 422 and not path.startswith(("/v1/gitops", "/v1/code"))):
            silent.append((method, path, answer.status))

    assert {path for _, path, _ in silent} == set(EXCEPTIONS), silent
    assert len(routes(house)) > 20


async def test_reading_leaves_no_record(house: PermissionHouse) -> None:
    since = house.daemon.audit.place.sequence
    for path in ("/v1/status", "/v1/plugins/notes", "/v1/audit", "/v1/permissions"):
        assert (await ask(house, "GET", path, user=USER)).status == 200

    assert await records(house, since) == []


@pytest.mark.parametrize("name", ["", "x" * 101, "a\x00b"])
async def test_a_client_that_does_not_say_who_it_is_is_an_operator(
    house: PermissionHouse, name: str
) -> None:
    await ask(house, "POST", "/v1/shutdown", {}, user=name)
    [record] = (await ask(house, "GET", "/v1/audit?type=daemon")).json

    assert record["why"] == "daemon stop"
    assert record["data"]["user"] == "operator"


async def test_up_says_its_configuration_and_what_it_changed_of_the_policy(
    house: PermissionHouse,
) -> None:
    house.policy(container={"pids_limit": 77})
    wish = {"paths": [str(house.manifests)], "config": str(house.config)}
    answer = await ask(house, "PUT", "/v1/desired", wish, user=USER)
    [record] = (await ask(house, "GET", "/v1/audit?type=command&count=1")).json
    changed = record["data"]["policy_changed"]

    assert answer.status in {200, 403}
    assert record["data"]["user"] == USER
    if answer.status == 200:
        assert record["data"]["config"] == str(house.config)
        assert changed["container"]["after"]["pids_limit"] == 77
        assert changed["container"]["before"]["pids_limit"] != 77
