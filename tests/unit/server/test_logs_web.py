"""Logs in a browser: who is let in, what is shown, and what the page may do."""

import asyncio
import json
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.base import LogLine
from orchestrator.manager.manager import PluginNotFound
from orchestrator.server import logs_web
from orchestrator.server.logs_web import MAX_LINES
from orchestrator.server.ui_server import UiUnavailable
from tests.unit.sandbox.house import SECONDS, settle
from tests.unit.server.ui_house import LOGS_KEY, Answer, UiHouse

LINES = "/plugins/echo/logs/lines"
WRITTEN = [
    LogLine(stream="stdout", at=10.0, text="one"),
    LogLine(stream="stderr", at=20.0, text="<b>two</b>"),
    LogLine(stream="stdout", at=30.0, text="three"),
]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UiHouse]:
    made = UiHouse(tmp_path)
    made.written.lines_of["echo"] = WRITTEN
    await made.open()
    yield made
    await made.stop()


def sent(house: UiHouse, **more: str | None) -> dict[str, str]:
    """Headers of the page's own request, with `more` over them; None leaves one out."""
    host = f"127.0.0.1:{house.listener.port}"
    headers: dict[str, str | None] = {"Host": host, "Authorization": f"Bearer {LOGS_KEY}"}
    headers |= {name.title(): value for name, value in more.items()}
    return {name: value for name, value in headers.items() if value is not None}


async def ask(house: UiHouse, target: str = LINES, *, method: str = "GET", **more: Any) -> Answer:
    """Through a client that knows chunks."""

    def get() -> Answer:
        connection = HTTPConnection("127.0.0.1", house.listener.port, timeout=SECONDS)
        connection.putrequest(method, target, skip_host=True)
        for name, value in sent(house, **more).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        headers = [(name.lower(), value) for name, value in answer.getheaders()]
        found = Answer(answer.status, headers, answer.read())
        connection.close()
        return found

    return await asyncio.to_thread(get)


def texts(answer: Answer) -> list[str]:
    return [json.loads(line).get("text", "(more)") for line in answer.body.splitlines()]


# -- who is let in -------------------------------------------------------------------------------


async def test_the_key_opens_the_log(house: UiHouse) -> None:
    answer = await ask(house)

    assert answer.status == 200
    assert [json.loads(line) for line in answer.body.splitlines()] == [
        {"stream": "stdout", "at": 10.0, "text": "one"},
        {"stream": "stderr", "at": 20.0, "text": "<b>two</b>"},
        {"stream": "stdout", "at": 30.0, "text": "three"},
    ]


@pytest.mark.parametrize(
    "words",
    [None, "", LOGS_KEY, f"Basic {LOGS_KEY}", "Bearer ", "Bearer x", f"Bearer {LOGS_KEY}0"],
)
async def test_without_the_key_nothing_is_shown(house: UiHouse, words: str | None) -> None:
    answer = await ask(house, authorization=words)

    assert (answer.status, answer.code) == (403, "logs_forbidden")
    assert house.written.asked == []


async def test_no_cookie_and_no_address_takes_the_keys_place(house: UiHouse) -> None:
    answer = await ask(
        house, f"{LINES}?key={LOGS_KEY}", authorization=None, cookie=f"key={LOGS_KEY}"
    )

    assert answer.status == 403


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "localhost:{port}", "echo.localhost:{port}"]
)
async def test_under_another_name_there_are_no_logs(house: UiHouse, host: str) -> None:
    """Names can be made to lead here (DNS rebinding), and plugins' pages have names."""
    answer = await ask(house, host=host.format(port=house.listener.port))

    assert answer.status in {403, 404}
    assert house.written.asked == []


async def test_pages_of_plugins_are_not_found_where_the_logs_are(house: UiHouse) -> None:
    answer = await ask(house, "/plugins/echo/ui/", cookie=house.cookie)

    assert answer.status == 404


async def test_nothing_can_be_done_but_read(house: UiHouse) -> None:
    statuses = [
        (await ask(house, method=method)).status for method in ("POST", "PUT", "DELETE", "OPTIONS")
    ]

    assert statuses == [405] * 4


async def test_a_plugin_that_is_not_there_is_told(house: UiHouse) -> None:
    answer = await ask(house, "/plugins/nobody/logs/lines")

    assert (answer.status, answer.code) == (404, "plugin_not_found")


# -- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tail=2", ["<b>two</b>", "three"]),
        ("since=15", ["<b>two</b>", "three"]),
        ("since=15&until=25", ["<b>two</b>"]),
        ("until=20", ["one", "<b>two</b>"]),
        ("until=5", []),
    ],
)
async def test_a_part_of_it_can_be_asked_for(
    house: UiHouse, query: str, expected: list[str]
) -> None:
    assert texts(await ask(house, f"{LINES}?{query}")) == expected


@pytest.mark.parametrize("query", ["since=now", "tail=-1", "until=nan", "tail=1e99"])
async def test_what_is_no_number_is_told(house: UiHouse, query: str) -> None:
    answer = await ask(house, f"{LINES}?{query}")

    name, _, found = query.partition("=")
    assert (answer.status, answer.code) == (422, "bad_request")
    assert f"query: {name}: found '{found}'" in json.loads(answer.body)["detail"]


async def test_a_long_log_is_told_to_be_longer(house: UiHouse) -> None:
    line = WRITTEN[0]
    house.written.lines_of["echo"] = [line] * (MAX_LINES + 1)
    found = texts(await ask(house))
    last = texts(await ask(house, f"{LINES}?tail={MAX_LINES + 1}"))
    await settle()

    assert len(found) == MAX_LINES + 1
    assert found[-1] == "(more)"
    assert len(last) == MAX_LINES
    assert house.written.open_now == 0


async def test_what_comes_is_sent_until_the_reader_goes(house: UiHouse) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.listener.port)
    rows = [f"{name}: {value}" for name, value in sent(house).items()]
    writer.write("\r\n".join([f"GET {LINES}?follow=1&tail=1 HTTP/1.1", *rows, "", ""]).encode())
    async with asyncio.timeout(SECONDS):
        await reader.readuntil(b'"three"}\n')
        house.written.more.put_nowait(LogLine(stream="stdout", at=40.0, text="four"))
        await reader.readuntil(b'"four"}\n')
    followed = house.written.open_now
    writer.close()
    async with asyncio.timeout(SECONDS):
        await house.written.closed.wait()

    assert followed == 1
    assert house.written.asked == [{"follow": True, "since": 0.0, "tail": 1}]


async def test_only_so_many_follow(house: UiHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_web, "MAX_FOLLOWED", 0)
    answer = await ask(house, f"{LINES}?follow=1")

    assert (answer.status, answer.code) == (429, "too_many_log_readers")
    assert (await ask(house)).status == 200


# -- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "content_type"),
    [
        ("/plugins/echo/logs", "text/html; charset=utf-8"),
        ("/logs/page.js", "text/javascript; charset=utf-8"),
        ("/logs/page.css", "text/css; charset=utf-8"),
    ],
)
async def test_the_page_is_the_same_for_all_and_loads_nothing_from_elsewhere(
    house: UiHouse, target: str, content_type: str
) -> None:
    answer = await ask(house, target, authorization=None)
    policy = answer.header("content-security-policy")

    assert (answer.status, answer.header("content-type")) == (200, content_type)
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("cache-control") == "no-store"
    assert b"://" not in answer.body
    assert b"innerHTML" not in answer.body


# -- where it is ---------------------------------------------------------------------------------


async def test_the_operator_is_told_the_address_and_the_key_is_sent_to_nobody(
    house: UiHouse,
) -> None:
    address = await house.listener.logs_address("echo")
    page, _, fragment = address.partition("#")

    assert page == f"http://127.0.0.1:{house.listener.port}/plugins/echo/logs"
    assert fragment == f"key={LOGS_KEY}"
    assert house.listener.logs_origin == f"http://127.0.0.1:{house.listener.port}"
    with pytest.raises(PluginNotFound):
        await house.listener.logs_address("nobody")


async def test_who_asks_has_it_served_from_then_on(house: UiHouse) -> None:
    before = house.logs.wanted
    await house.listener.logs_address("echo")

    assert (before, house.logs.wanted) == (False, True)


async def test_while_nobody_listens_there_is_no_address(house: UiHouse) -> None:
    house.wanted = None
    await house.listener.settle()
    with pytest.raises(UiUnavailable):
        await house.listener.logs_address("echo")

    assert house.listener.logs_origin == ""
