"""`/v1/plugins/ID/permissions/…`: a grant of a part of a permission."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.manager.permission_house import API, PermissionHouse
from tests.unit.server.event_asking import ask

GRANT = "/v1/plugins/notes/permissions/external_api/grant"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    """`notes` asks for two hosts and is granted none."""
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest({"file_system_read": {"shares": ["docs"]}})
    async with house.open():
        await house.up()
        yield house


async def test_a_grant_can_be_of_one_host_and_the_rest_be_given_later(
    house: PermissionHouse,
) -> None:
    one = {"parameters": {"hosts": ["a.example:443"]}, "who": "ada"}
    first = await ask(house, "POST", GRANT, one)
    part = house.deployment.grant
    again = await ask(house, "POST", GRANT, one)
    whole = await ask(house, "POST", GRANT, {})

    assert [answer.json for answer in (first, again, whole)] == [
        {"changed": True},
        {"changed": False},
        {"changed": True},
    ]
    assert [p.hosts for p in part.permissions if p.kind == API] == [("a.example:443",)]
    assert [p.hosts for p in house.deployment.grant.permissions if p.kind == API] == [
        ("a.example:443", "b.example:443")
    ]


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"hosts": ["c.example:443"]}, 403, "permission_refused"),
        ({"hosts": ["*"]}, 422, "permission_request_invalid"),
        ({"hosts": "a.example:443"}, 422, "permission_request_invalid"),
        ({"shares": ["docs"]}, 422, "permission_request_invalid"),
        ({"kind": "network_access"}, 422, "permission_request_invalid"),
        ([], 422, "permission_request_invalid"),
        ("x", 422, "permission_request_invalid"),
    ],
)
async def test_what_is_asked_by_nobody_or_is_no_parameter_is_refused(
    house: PermissionHouse, parameters: Any, status: int, code: str
) -> None:
    answer = await ask(house, "POST", GRANT, {"parameters": parameters})

    assert (answer.status, answer.json["code"]) == (status, code)
    assert API not in house.has


async def test_a_revoke_takes_no_parameters(house: PermissionHouse) -> None:
    wish = {"parameters": {"hosts": ["a.example:443"]}}
    answer = await ask(house, "POST", GRANT.replace("grant", "revoke"), wish)

    assert (answer.status, answer.json["code"]) == (422, "permission_request_invalid")
