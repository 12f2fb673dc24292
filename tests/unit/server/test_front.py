"""The front: a call goes to its plugin and the answer comes back, with nothing added or lost."""

from typing import Any

import pytest

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox.call import CallFailure, FailureCode
from tests.unit.sandbox.house import settle

MEBIBYTE = 1 << 20
ADD = ToolInfo(
    name="add",
    description="Adds.",
    input_schema={"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    output_schema={"type": "object", "required": ["sum"]},
)


async def test_a_call_goes_to_the_plugin_and_its_answer_comes_back(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b'{"a":1}', headers="X-Request-Id: abc\r\ntraceparent: 00-1\r\nCookie: a=b\r\n")
    request = await line.request()
    line.answer(b"hello", status=201, headers="Content-Type: text/plain\r\n")
    response = await client.answer()

    assert request.head == (
        b"POST /v1/execute HTTP/1.1\r\nHost: plugin\r\nX-Request-Id: abc\r\n"
        b"X-Deadline-Ms: 30000\r\n"
        b"X-Caller: operator\r\ntraceparent: 00-1\r\nContent-Length: 7\r\n"
        b"Content-Type: application/json\r\n\r\n"
    )
    assert request.body == b'{"a":1}'
    assert (response.status, response.body) == (201, b"hello")
    assert response.headers == {
        "content-type": "text/plain",
        "content-length": "5",
        "x-content-type-options": "nosniff",
    }


async def test_one_connection_carries_many_calls(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    for number in range(20):
        client.execute(b"%d" % number)
        line.answer((await line.request()).body)

        assert (await client.answer()).body == b"%d" % number
    assert len(front.protocols) == 1


async def test_a_chunked_body_and_a_chunked_answer_stream(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.send(
        b"POST /v1/plugins/echo/execute HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: text/csv\r\n\r\n3\r\none\r\n"
    )
    head = await line.head()
    client.send(b"3;x=y\r\ntwo\r\n0\r\nX-Tool: evil\r\nContent-Type: evil\r\n\r\n")
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    status, headers = await client.head()
    first = await client.reader.readexactly(7)
    line.send(b"1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n")
    rest = await client.reader.readuntil(b"0\r\n\r\n")

    assert b"Transfer-Encoding: chunked\r\nContent-Type: text/csv\r\n\r\n" in head
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert (first, rest) == (b"2\r\nhi\r\n", b"1\r\n!\r\n0\r\n\r\n")
    assert line.unread == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_leaves_nothing_behind_it(front: Any, status: int) -> None:
    """A client reads no body after these: a stray length or chunk would be the next answer."""
    _, _, [line] = await front.ready()
    client = await front.client()
    for framing in (b"", b"Content-Length: 0\r\n"):
        client.execute()
        await line.request()
        line.send(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, framing))
        response = await client.answer()

        assert response.status == status
        assert not {"content-length", "transfer-encoding"} & set(response.headers)
    client.execute()
    await line.request()
    line.answer(b"next")
    assert (await client.answer()).body == b"next"


async def test_what_a_plugin_adds_to_its_head_stays_behind(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute()
    await line.request()
    line.answer(
        status=302,
        headers="Set-Cookie: a=b\r\nLocation: https://evil.example/\r\nWWW-Authenticate: Basic\r\n"
        "Access-Control-Allow-Origin: *\r\nX-Content-Type-Options: none\r\nServer: x\r\n",
    )
    response = await client.answer()

    assert response.status == 302
    assert response.headers == {
        "content-type": "application/json",
        "content-length": "2",
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"X-Request-Id: a b", None),
        (b"X-Request-Id: \xc3\xa9", None),
        (b"X-Request-Id: " + b"a" * 129, None),
        (b"X-Request-Id: a\tb", None),
        (b"X-Request-Id: ok-1", "ok-1"),
    ],
)
async def test_a_request_id_of_another_shape_is_replaced(
    front: Any, sent: bytes, seen: str | None
) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(headers=sent.decode("latin-1") + "\r\n")
    request_id = (await line.request()).headers["x-request-id"]

    assert request_id == seen or (
        seen is None and request_id[0] == "r" and request_id[1:].isdigit()
    )


@pytest.mark.parametrize(
    "header",
    [b"Content-Type: a/b\xff", b"Content-Type: a\tb", b"Content-Type: " + b"a" * 257],
    ids=["not ASCII", "a tab", "long"],
)
async def test_a_type_of_another_shape_is_not_passed_on(front: Any, header: bytes) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(headers=header.decode("latin-1") + "\r\n")

    assert (await line.request()).headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-Id: a\rX-Evil: 1",
        b"X-Request-Id: a\nX-Evil: 1",
        b"X-Request-Id: a\r\n X-Evil: 1",
        b"X-Tool: a\x00b",
        b"Content-Type : a/b",
    ],
)
async def test_a_head_with_tricks_is_no_call(front: Any, header: bytes) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(headers=header.decode("latin-1") + "\r\n")

    assert await client.ended()
    assert line.unread == b""


@pytest.mark.parametrize(
    ("wished", "given"),
    [("1500", "1500"), ("999999", "30000"), ("0", "1"), ("-5", "30000"), ("soon", "30000")],
)
async def test_the_wished_deadline_is_passed_on_within_the_limit(
    front: Any, wished: str, given: str
) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(headers=f"X-Deadline-Ms: {wished}\r\n")

    assert (await line.request()).headers["x-deadline-ms"] == given
    line.answer()
    await client.answer()


async def test_a_tools_input_is_checked_before_the_plugin_sees_it(front: Any) -> None:
    _, _, [line] = await front.ready(tools=(ADD,))
    client = await front.client()
    client.execute(b'{"a":"x"}', headers="X-Tool: add\r\n")
    refused = await client.answer()
    client.execute(b'{"a":1}', headers="X-Tool: add\r\n")
    request = await line.request()
    line.answer(b'{"sum":1}')
    answered = await client.answer()
    client.execute(b'{"a":2}', headers="X-Tool: add\r\n")
    await line.request()
    line.answer(b"{}")
    broken = await client.answer()

    assert refused.status == 422
    assert refused.problem["errors"] == ["a: found 'x', expected integer"]
    assert (request.headers["x-tool"], request.body) == ("add", b'{"a":1}')
    assert (answered.status, answered.body) == (200, b'{"sum":1}')
    assert (broken.status, broken.problem["code"]) == (502, "invalid_output")
    assert len(front.protocols) == 1


async def test_a_tools_input_may_come_in_chunks(front: Any) -> None:
    _, _, [line] = await front.ready(tools=(ADD,))
    client = await front.client()
    client.send(
        b"POST /v1/plugins/echo/execute HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n"
        b'X-Tool: add\r\n\r\n3\r\n{"a\r\n'
    )
    await settle()
    client.send(b'4\r\n":1}\r\n0\r\nX-Tool: other\r\n\r\n')
    request = await line.request()

    assert request.headers["x-tool"] == "add"
    assert (request.headers["content-length"], request.body) == ("7", b'{"a":1}')


async def test_who_takes_a_tool_call_is_asked_again_when_its_input_is_whole(front: Any) -> None:
    _, _, [line] = await front.ready(tools=(ADD,))
    client = await front.client()
    client.send(
        b"POST /v1/plugins/echo/execute HTTP/1.1\r\nHost: o\r\nContent-Length: 7\r\n"
        b"X-Tool: add\r\n\r\n"
    )
    await settle()
    front.routes.sandboxes["echo"] = CallFailure(
        code=FailureCode.PLUGIN_NOT_RUNNING, detail="another is asked", repeat="safe"
    )
    client.send(b'{"a":1}')
    response = await client.answer()

    assert (response.status, response.problem["detail"]) == (503, "another is asked")
    assert line.unread == b""


@pytest.mark.parametrize("name", ["sub", "", "a b", "\xe9", "add\t"])
async def test_a_tool_that_is_not_declared_is_not_found(front: Any, name: str) -> None:
    _, _, [line] = await front.ready(tools=(ADD,))
    client = await front.client()
    client.execute(headers=f"X-Tool: {name}\r\n")
    if name == "add\t":  # white space around a value is no part of it
        await client.answer()
        return
    response = await client.answer()

    assert response.status == 404
    assert response.problem["code"] == "unknown_tool"
    assert response.problem["detail"].endswith("expected one of add")
    assert line.unread == b""


async def test_a_plugin_that_does_not_exist_is_a_problem(front: Any) -> None:
    client = await front.client()
    client.execute(plugin="nobody")
    response = await client.answer()

    assert response.status == 404
    assert response.problem == {
        "type": "urn:orchestrator:error:plugin_not_found",
        "title": "plugin not found",
        "status": 404,
        "code": "plugin_not_found",
        "kind": "not_found",
        "detail": "found no plugin 'nobody'",
    }


async def test_a_plugin_that_takes_no_calls_says_when_to_come_again(front: Any) -> None:
    front.routes.sandboxes["echo"] = CallFailure(
        code=FailureCode.PLUGIN_NOT_RUNNING, detail="echo is starting", repeat="safe"
    )
    client = await front.client()
    client.execute()
    response = await client.answer()

    assert response.status == 503
    assert response.headers["retry-after"] == "1"
    assert response.problem["repeat"] == "safe"


async def test_a_full_queue_is_429_and_the_connection_goes_on(front: Any) -> None:
    _, _, [line] = await front.ready(max_queue=0)
    first, second = await front.client(), await front.client()
    first.execute()
    await line.request()
    second.execute(b"x" * 1_000)
    response = await second.answer()
    line.answer()
    await first.answer()
    second.execute(b"now")

    assert response.status == 429
    assert response.headers["retry-after"] == "1"
    assert (response.problem["code"], response.problem["repeat"]) == ("overloaded", "safe")
    assert (await line.request()).body == b"now"


async def test_a_deadline_is_504(front: Any) -> None:
    await front.ready()
    client = await front.client()
    client.execute(headers="X-Deadline-Ms: 50\r\n")
    response = await client.answer()

    assert response.status == 504
    assert response.problem["repeat"] == "unsafe"


async def test_a_client_that_says_close_is_closed(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(headers="Connection: close\r\n")
    await line.request()
    line.answer(b"bye")
    response = await client.answer()

    assert (response.body, response.headers["connection"]) == (b"bye", "close")
    assert await client.ended()


async def test_expect_is_answered_before_the_body(front: Any) -> None:
    _, _, [line] = await front.ready(tools=(ADD,))
    for headers in ("", "X-Tool: add\r\n"):
        client = await front.client()
        client.execute(b"", headers=headers + "Expect: 100-continue\r\n", length=7)
        status, more = await client.head()
        client.send(b'{"a":1}')
        request = await line.request()
        line.answer(b'{"sum":1}')

        assert (status, more) == (100, {})
        assert request.body == b'{"a":1}'
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("plugin", ["echo", "nobody"])
async def test_a_refused_expectation_is_answered_at_once_and_ends_the_connection(
    front: Any, plugin: str
) -> None:
    await front.ready()
    client = await front.client()
    client.execute(b"", plugin=plugin, headers="Expect: 100-continue\r\n", length=2 * MEBIBYTE)
    response = await client.answer()

    assert response.status == (413 if plugin == "echo" else 404)
    assert response.headers["connection"] == "close"
    assert await client.ended()
