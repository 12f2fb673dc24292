"""Pages of plugins: who is let in, what reaches the plugin, and what reaches the browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.server.ui import MAX_BODY_BYTES, UiKeys
from tests.unit.server.ui_house import UiHouse


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UiHouse]:
    made = UiHouse(tmp_path)
    await made.open()
    yield made
    await made.stop()


def nothing_asked(house: UiHouse) -> bool:
    return house.line.unread == b""


# -- the key -------------------------------------------------------------------------------------


async def test_the_key_in_the_address_becomes_a_cookie_that_scripts_and_other_sites_never_see(
    house: UiHouse,
) -> None:
    address = await house.listener.address("echo")
    target = address.removeprefix(house.origin)
    answer = await house.ask(target, headers={"Host": house.host})
    name, *attributes = answer.header("set-cookie").split("; ")

    assert target == f"/plugins/echo/ui/?key={house.keys.key('echo')}"
    assert (answer.status, answer.header("location")) == (303, "/plugins/echo/ui/")
    assert name == house.cookie
    assert {a.lower() for a in attributes} == {
        "httponly",
        "samesite=strict",
        "path=/plugins/echo/ui/",
    }
    assert nothing_asked(house)


async def test_the_cookie_opens_the_pages(house: UiHouse) -> None:
    answer, seen = await house.served()

    assert (answer.status, answer.body) == (200, b"page")
    assert seen.line == "GET /v1/ui/ HTTP/1.1"


def test_a_key_opens_one_plugin_of_one_daemon_and_is_no_cookie() -> None:
    keys, other = UiKeys(b"a"), UiKeys(b"b")

    assert keys.fits("echo", keys.key("echo"))
    assert not keys.fits("notes", keys.key("echo"))
    assert not keys.fits("echo", other.key("echo"))
    assert not keys.fits("echo", keys.session("echo"))
    assert not keys.fits_session("echo", keys.key("echo"))
    assert not keys.fits_session("notes", keys.session("echo"))
    assert keys.fits_session("echo", keys.session("echo"))


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        "",
        "orchestrator_ui_{port}=",
        "orchestrator_ui_{port}={key}",
        "orchestrator_ui_{port}={others}",
        "orchestrator_ui={session}",
        "x=orchestrator_ui_{port}={session}",
        "orchestrator_ui_{port}=\xe9",
    ],
)
async def test_without_the_right_cookie_nobody_sees_a_page(
    house: UiHouse, cookie: str | None
) -> None:
    filled = cookie and cookie.format(
        port=house.listener.port,
        key=house.keys.key("echo"),
        session=house.keys.session("echo"),
        others=house.keys.session("notes"),
    )
    answer = await house.ask(headers=house.plain(cookie=filled))

    assert (answer.status, answer.code) == (403, "ui_forbidden")
    assert nothing_asked(house)


async def test_a_wrong_key_is_refused_and_sets_nothing(house: UiHouse) -> None:
    answer = await house.ask(f"/plugins/echo/ui/?key={house.keys.key('notes')}")

    assert (answer.status, answer.code) == (403, "ui_forbidden")
    assert answer.values("set-cookie") == []


async def test_a_page_cannot_lock_its_reader_out_with_a_cookie_of_the_same_name(
    house: UiHouse,
) -> None:
    false = f"orchestrator_ui_{house.listener.port}=mine"
    answer, seen = await house.served(headers=house.plain(cookie=f"{false}; {house.cookie}"))

    assert answer.status == 200
    assert "cookie" not in seen.headers


async def test_a_parameter_named_key_is_the_plugins_own_on_its_other_pages(
    house: UiHouse,
) -> None:
    answer, seen = await house.served(target=f"/plugins/echo/ui/find?key={'0' * 64}")

    assert answer.status == 200
    assert seen.line == f"GET /v1/ui/find?key={'0' * 64} HTTP/1.1"


# -- who asks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        None,
        "localhost:{port}",
        "127.0.0.1",
        "echo.localhost",
        "echo.localhost:1",
        "notes.localhost:{port}",
        "echo.localhost:{port}.evil.example",
        "echo.localhost.evil.example:{port}",
        "evil.example:{port}",
        "evil@echo.localhost:{port}",
        "ECHO.localhost:{port}",
    ],
)
async def test_only_the_plugins_own_host_name_is_answered(house: UiHouse, host: str | None) -> None:
    filled = host and host.format(port=house.listener.port)
    page = await house.ask(headers=house.plain(host=filled))
    entry = await house.ask(
        f"/plugins/echo/ui/?key={house.keys.key('echo')}", headers=house.plain(host=filled)
    )

    assert (page.status, page.code) == (403, "ui_forbidden")
    assert (entry.status, entry.values("set-cookie")) == (403, [])
    assert nothing_asked(house)


async def test_two_hosts_are_one_too_many(house: UiHouse) -> None:
    answer = await house.raw(
        f"GET /plugins/echo/ui/ HTTP/1.1\r\nHost: {house.host}\r\nHost: evil.example\r\n"
        f"Cookie: {house.cookie}\r\n\r\n".encode()
    )

    assert answer.status in {400, 403}
    assert nothing_asked(house)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost:1"])
async def test_a_change_is_taken_from_the_pages_own_origin_only(
    house: UiHouse, method: str, origin: str | None
) -> None:
    answer = await house.ask(method=method, body=b"x", headers=house.plain(origin=origin))

    assert (answer.status, answer.code) == (403, "ui_forbidden")
    assert nothing_asked(house)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_change_of_the_pages_own_reaches_the_plugin(house: UiHouse, method: str) -> None:
    headers = house.plain(
        origin=house.origin, sec_fetch_site="same-origin", content_type="text/plain"
    )
    answer, seen = await house.served(method=method, body=b"more", headers=headers)

    assert answer.status == 200
    assert seen.line == f"{method} /v1/ui/ HTTP/1.1"
    assert (seen.body, seen.headers["content-type"]) == (b"more", "text/plain")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "odd"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_another_site_asks_for_is_refused(
    house: UiHouse, site: str, method: str
) -> None:
    headers = house.plain(origin=house.origin, sec_fetch_site=site)
    answer = await house.ask(method=method, headers=headers)

    assert (answer.status, answer.code) == (403, "ui_forbidden")
    assert nothing_asked(house)


async def test_looking_from_another_origin_is_refused_too(house: UiHouse) -> None:
    answer = await house.ask(headers=house.plain(origin="http://notes.localhost"))

    assert (answer.status, answer.code) == (403, "ui_forbidden")


async def test_a_service_worker_is_never_served(house: UiHouse) -> None:
    answer = await house.ask("/plugins/echo/ui/sw.js", headers=house.plain(service_worker="script"))

    assert (answer.status, answer.code) == (403, "ui_forbidden")
    assert nothing_asked(house)


async def test_no_other_origin_is_promised_anything(house: UiHouse) -> None:
    answer = await house.ask(method="OPTIONS", headers=house.plain(origin="http://evil.example"))

    assert answer.status == 405
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]


# -- where to ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1/status",
        "/v1/plugins/echo/execute",
        "/plugins/echo/ui",
        "/plugins/echo/uix/",
        "/plugins//ui/",
        "/plugins/Echo/ui/",
        "/plugins/echo%2fui/",
        "/%70lugins/echo/ui/",
        "/plugins/echo/ui/../../../v1/execute",
        "/plugins/echo/ui/%2e%2e/execute",
        "/plugins/echo/ui/a/%2E%2e%2fexecute",
        "/plugins/echo/ui/..%5cexecute",
        "/plugins/echo/ui/.",
        "/plugins/echo/ui/%00",
        "/plugins/echo/ui/" + "x" * 1_025,
        "/plugins/echo/ui/?" + "x" * 2_049,
    ],
)
async def test_nothing_but_pages_is_served(house: UiHouse, target: str) -> None:
    answer = await house.ask(target)

    assert (answer.status, answer.code) == (404, "ui_not_found")
    assert nothing_asked(house)


async def test_an_address_reaches_the_plugin_as_it_was_written(house: UiHouse) -> None:
    _, seen = await house.served(target="/plugins/echo/ui/a%20b%3Fc/%C3%BC..x?d=%26&e")

    assert seen.line == "GET /v1/ui/a%20b%3Fc/%C3%BC..x?d=%26&e HTTP/1.1"


async def test_a_plugin_that_lost_its_permission_has_no_pages_at_once(house: UiHouse) -> None:
    del house.pages.sandboxes["echo"]
    answer = await house.ask()

    assert (answer.status, answer.code) == (404, "ui_not_found")


async def test_a_stranger_cannot_tell_which_plugins_have_pages(house: UiHouse) -> None:
    there = await house.ask(headers=house.plain(cookie=None))
    del house.pages.sandboxes["echo"]
    gone = await house.ask(headers=house.plain(cookie=None))

    assert (there.status, there.body) == (gone.status, gone.body)


# -- what reaches the plugin ---------------------------------------------------------------------


async def test_the_plugin_learns_nothing_of_the_browser(house: UiHouse) -> None:
    headers = house.plain(
        authorization="Basic x", user_agent="Browser", x_tool="greet", x_caller="boss", referer="r"
    )
    _, seen = await house.served(headers=headers)

    assert set(seen.headers) == {
        "host",
        "x-request-id",
        "x-deadline-ms",
        "x-caller",
        "content-length",
    }
    assert (seen.headers["host"], seen.headers["x-caller"]) == ("plugin", "ui")


async def test_head_is_asked_as_get_and_answered_without_a_body(house: UiHouse) -> None:
    answer, seen = await house.served(method="HEAD")

    assert seen.line == "GET /v1/ui/ HTTP/1.1"
    assert (answer.status, answer.header("content-length")) == (200, "4")


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_bound_never_reaches_the_plugin(house: UiHouse, framing: str) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    head = f"POST /plugins/echo/ui/ HTTP/1.1\r\nHost: {house.host}\r\nCookie: {house.cookie}\r\n"
    head += f"Origin: {house.origin}\r\n"
    if framing == "length":
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    else:
        data = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body
    answer = await house.raw(data)

    assert (answer.status, answer.code) == (413, "request_too_large")
    assert nothing_asked(house)


async def test_the_largest_body_comes_whole(house: UiHouse) -> None:
    body = b"x" * MAX_BODY_BYTES
    headers = house.plain(origin=house.origin)
    answer, seen = await house.served(method="POST", body=body, headers=headers)

    assert answer.status == 200
    assert len(seen.body) == MAX_BODY_BYTES


async def test_a_body_that_never_ends_is_given_up(
    house: UiHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.server.ui.PAGE_SECONDS", 0.05)
    answer = await house.raw(
        f"POST /plugins/echo/ui/ HTTP/1.1\r\nHost: {house.host}\r\nCookie: {house.cookie}\r\n"
        f"Origin: {house.origin}\r\nContent-Length: 9\r\n\r\nx".encode()
    )

    assert (answer.status, answer.code) == (504, "ui_timeout")
    assert nothing_asked(house)


# -- what reaches the browser --------------------------------------------------------------------
