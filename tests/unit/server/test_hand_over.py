"""Requests that are no call go to the application beside the front, whole and one a connection."""

import asyncio
from typing import Any

import pytest

from orchestrator.server.answer import Answer


async def test_other_requests_go_to_the_application(front: Any) -> None:
    client = await front.client()
    client.get("/v1/status")
    response = await client.answer()

    assert (response.status, response.body) == (200, b'{"path":"/v1/status"}')
    assert response.headers["connection"] == "close"
    assert await client.ended()


async def test_a_connection_may_first_call_and_then_ask_the_application(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"call")
    line.answer((await line.request()).body)
    called = await client.answer()
    client.get("/v1/status")
    asked = await client.answer()

    assert called.body == b"call"
    assert asked.body == b'{"path":"/v1/status"}'


async def test_a_request_to_the_application_may_come_byte_by_byte(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute()
    await line.request()
    line.answer()
    await client.answer()
    for byte in b"\r\nPUT /v1/desired HTTP/1.1\r\nHost: o\r\nContent-Length: 5\r\n\r\nhello":
        client.send(bytes([byte]))
        await asyncio.sleep(0.0005)

    assert (await client.answer()).body == b'{"body":"hello","method":"PUT"}'


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/plugins/echo/execute",
        "PUT /v1/plugins/echo/execute",
        "POST /v1/plugins/echo/execute/",
        "POST /v1/plugins/echo/execute?x=1",
        "POST /v1/plugins/ECHO/execute",
        "POST /v1/plugins/../execute",
        "POST /v1/plugins/a%2fb/execute",
        "POST //v1/plugins/echo/execute",
    ],
)
async def test_only_the_exact_request_is_a_call(front: Any, line: str) -> None:
    _, _, [connection] = await front.ready()
    client = await front.client()
    client.send(f"{line} HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n".encode())

    assert (await client.answer()).status in {404, 405}
    assert connection.unread == b""


async def test_a_flood_of_bytes_that_are_no_request_ends_the_connection(front: Any) -> None:
    client = await front.client()
    client.send(b"\x16\x03\x01 no HTTP\r\n\r\n")

    assert await client.ended()


def test_an_answer_holds_nothing_of_its_own_about_other_calls() -> None:
    assert "__dict__" not in dir(Answer)


async def test_a_request_whose_first_bytes_are_gone_is_not_handed_over(front: Any) -> None:
    """They came in one piece with the rest of a refused body, and only the parser had them."""
    client = await front.client()
    client.execute(b"", plugin="nobody", length=5)
    await client.answer()
    client.send(b"hello" + b"GET /v1/status HTTP/1.1\r\nHost: o\r\n\r\n")

    assert await client.reader.read() == b""
