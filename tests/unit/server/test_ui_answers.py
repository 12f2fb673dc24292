"""Pages of plugins: what reaches the browser."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.sandbox.call import CallFailure, FailureCode
from orchestrator.server.ui import PAGE_HEADERS
from tests.unit.server.ui_house import UiHouse


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UiHouse]:
    made = UiHouse(tmp_path)
    await made.open()
    yield made
    await made.stop()


def nothing_asked(house: UiHouse) -> bool:
    return house.line.unread == b""


async def test_of_the_plugins_headers_only_the_type_passes(house: UiHouse) -> None:
    answer, _ = await house.served(
        status=302,
        sent="Content-Type: text/css\r\nSet-Cookie: a=b\r\nLocation: http://evil.example/\r\n"
        "Access-Control-Allow-Origin: *\r\nContent-Security-Policy: default-src *\r\n"
        "Service-Worker-Allowed: /\r\nRefresh: 0; url=http://evil.example\r\n"
        "Clear-Site-Data: *\r\nX-Frame-Options: ALLOWALL\r\nLink: <http://e>; rel=preload\r\n"
        "Cache-Control: public\r\nServer: mine\r\n",
    )
    names = sorted(name for name, _ in answer.headers if name not in {"date", "content-length"})

    assert answer.status == 302
    assert answer.header("content-type") == "text/css"
    assert names == sorted(["content-type", *(name.lower() for name in PAGE_HEADERS)])
    assert [answer.header(name.lower()) for name in PAGE_HEADERS] == [*PAGE_HEADERS.values()]


async def test_what_a_page_may_do_is_little(house: UiHouse) -> None:
    answer, _ = await house.served()
    rules = dict(
        rule.split(" ", 1) for rule in answer.header("content-security-policy").split("; ")
    )

    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == rules["form-action"] == "'self'"
    assert rules["script-src"] == "'self' 'unsafe-inline'"
    assert rules["frame-ancestors"] == rules["frame-src"] == rules["worker-src"] == "'none'"
    assert not {"http:", "https:", "*", "ws:"} & set(" ".join(rules.values()).split())
    assert "popups" not in rules["sandbox"]
    assert "top-navigation" not in rules["sandbox"]
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize("kind", ["multipart/x-mixed-replace; boundary=a", "Multipart/Mixed", "\t"])
async def test_a_type_that_could_carry_headers_or_is_none_becomes_plain_bytes(
    house: UiHouse, kind: str
) -> None:
    answer, _ = await house.served(sent=f"Content-Type: {kind}\r\n")

    assert answer.header("content-type") == "application/octet-stream"


async def test_refusals_carry_the_same_rules_as_pages(house: UiHouse) -> None:
    refused = await house.ask(headers={"Host": house.host})
    lost = await house.ask("/nowhere")
    method = await house.ask(method="OPTIONS")
    entry = await house.ask(f"/plugins/echo/ui/?key={house.keys.key('echo')}")

    for answer in (refused, lost, method, entry):
        assert [answer.header(name.lower()) for name in PAGE_HEADERS] == [*PAGE_HEADERS.values()]


async def test_a_plugin_that_does_not_run_is_a_problem_and_no_page(house: UiHouse) -> None:
    house.pages.sandboxes["echo"] = CallFailure(
        code=FailureCode.PLUGIN_NOT_RUNNING, detail="echo is not running"
    )
    answer = await house.ask()

    assert (answer.status, answer.code) == (503, "plugin_not_running")


async def test_a_plugin_that_answers_nonsense_harms_nobody(house: UiHouse) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(house.ask())
        await house.line.request()
        house.line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")

    assert asked.result().status == 502
