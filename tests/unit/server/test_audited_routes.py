"""Every route that changes something leaves a record of who did it; reading leaves none."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from orchestrator.manager.permissions import LIFTED
from orchestrator.manager.rebuilding import revoked_by_audit
from orchestrator.sandbox.call import Call
from orchestrator.server import audit_routes
from orchestrator.server.webhook import PATH as WEBHOOK
from tests.unit.manager.permission_house import PermissionHouse
from tests.unit.server.event_asking import ask

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
        "/v1/events/discard": {"all": True, "who": USER},
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
    shares = yaml.safe_load(house.config.read_text())["policy"]["shares"]
    house.policy(shares=shares, container={"pids_limit": 77})
    wish = {"paths": [str(house.manifests)], "config": str(house.config)}
    answer = await ask(house, "PUT", "/v1/desired", wish, user=USER)
    [record] = (await ask(house, "GET", "/v1/audit?type=command&count=1")).json
    changed = record["data"]["policy_changed"]

    assert answer.status == 200
    assert record["data"]["user"] == USER
    assert record["data"]["config"] == str(house.config)
    assert list(changed) == ["container"]
    assert changed["container"]["after"]["pids_limit"] == 77
    assert changed["container"]["before"]["pids_limit"] != 77


async def test_a_manifest_that_policy_refuses_is_found_where_its_plugin_is(
    house: PermissionHouse,
) -> None:
    house.policy()  # without the share that the manifest grants
    wish = {"paths": [str(house.manifests)], "config": str(house.config)}
    house.manifest({"kind": "file_system_read", "shares": ["docs"]})
    answer = await ask(house, "PUT", "/v1/desired", wish, user=USER)
    rows = (await ask(house, "GET", "/v1/audit?plugin=notes&type=policy_decision&count=1")).json
    [command] = (await ask(house, "GET", "/v1/audit?type=command&count=1")).json

    assert answer.status == 403
    assert (rows[0]["outcome"], rows[0]["data"]["user"]) == ("refused", USER)
    assert rows[0]["why"] == answer.json["detail"]
    assert (command["outcome"], command["data"]["user"]) == ("refused", USER)


async def test_a_grant_that_only_lifts_a_revoke_says_so(house: PermissionHouse) -> None:
    one = "/v1/plugins/notes/permissions/system_info"
    await ask(house, "POST", f"{one}/revoke", {"who": USER})
    answer = await ask(house, "POST", f"{one}/grant", {"who": USER})
    [record] = (await ask(house, "GET", "/v1/audit?type=permission_grant")).json

    assert answer.json == {"changed": True}
    assert record["data"]["effective"] is False
    assert record["data"]["found"] == LIFTED
    assert (await ask(house, "GET", one)).json["effective"] is False


async def test_archiving_moves_segments_and_tells_anew_what_stands_revoked(
    house: PermissionHouse, tmp_path: Path
) -> None:
    log, folder = house.daemon.audit, tmp_path / "archive"
    await ask(house, "POST", "/v1/plugins/notes/permissions/network_access/revoke", {"who": "eve"})
    log._segment_bytes = 2_000
    for _ in range(20):
        await ask(house, "POST", "/v1/plugins/notes/permissions/system_info/reset", {})
    wish = {"folder": str(folder), "before": 1e12, "why": "full"}
    answer = await ask(house, "POST", "/v1/audit/archive", wish, user=USER)
    left = (await ask(house, "GET", "/v1/audit?count=1000")).json
    told = [row for row in left if row["action"] == "audit_log"]
    verdict = (await ask(house, "GET", "/v1/audit/verify")).json

    assert answer.status == 200
    assert answer.json["segments"] == len(list(folder.iterdir())) > 1
    assert left[0]["sequence"] == answer.json["records"] + 1
    assert verdict["intact"]
    assert told[0]["data"]["user"] == USER
    assert told[0]["data"]["archived"] == answer.json["archived"]
    assert [(o.plugin_id, o.permission, o.who) for o in revoked_by_audit(log)] == [
        ("notes", "network_access", "eve")
    ]


@pytest.mark.parametrize(
    "wish",
    [
        {"folder": "relative", "before": 1},
        {"folder": "/x", "before": -1},
        {"folder": "/x"},
        {"folder": "/x", "before": 1, "more": 1},
        b"{",
    ],
)
async def test_an_archive_of_another_shape_is_refused(house: PermissionHouse, wish: Any) -> None:
    answer = await ask(house, "POST", "/v1/audit/archive", wish)

    assert (answer.status, answer.json["code"]) == (422, "audit_request_invalid")


async def test_an_export_comes_in_pieces_of_bounded_size(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_routes, "EXPORT_BYTES", 1_000)
    for _ in range(30):
        await ask(house, "POST", "/v1/plugins/notes/permissions/system_info/reset", {})
    answer = await ask(house, "GET", "/v1/audit/export")
    whole = b"".join(house.daemon.audit.export())

    assert answer.body == whole
    assert answer.pieces > len(whole) / 3_000
    assert answer.largest < 3_000


@pytest.mark.parametrize("destructive", [True, False])
async def test_a_call_of_a_destructive_tool_is_taken_down_and_of_no_other(
    house: PermissionHouse,
    destructive: bool,  # noqa: FBT001
) -> None:
    tool = {"name": "wipe", "description": "Wipes.", "destructive": destructive}
    house.plugin(tools=[tool, {"name": "read", "description": "Reads."}])
    await house.up()
    since = house.daemon.audit.place.sequence
    for name in ("wipe", "read", ""):
        call = Call(
            request_id=f"r-{name}",
            deadline_seconds=1.0,
            tool=name,
            content_type="application/json",
            content_length=2,
            caller="operator",
            traceparent="",
        )
        house.daemon.gate.dispatching("notes", call, USER)
    found = await records(house, since)

    assert [(it["why"], it["outcome"], it["data"]["user"], it["plugin_id"]) for it in found] == (
        [("call notes wipe", "allowed", USER, "notes")] if destructive else []
    )
