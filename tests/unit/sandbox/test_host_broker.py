"""HostBroker: what a plugin may ask of the host, and what it inherits when it calls another."""

import asyncio
import json
from pathlib import Path

import pytest

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.sandbox.call import CallFailure, FailureCode, Reply
from orchestrator.sandbox.host_api import HostBounds
from tests.unit.sandbox.broker_house import Raw, ask, until
from tests.unit.sandbox.host_house import event, execute, host_house, post

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER_SPAN = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"


class NoSuchPlugin(OrchestratorError):
    kind, code = Kind.NOT_FOUND, "plugin_not_found"


# -- events -----------------------------------------------------------------------------------


async def test_a_declared_event_is_published_with_the_hosts_word_for_its_source(
    tmp_path: Path,
) -> None:
    async with host_house(tmp_path) as house:
        answer = await ask(house.path, event(source="plugin/other", data={"n": 1}, subject="s"))
        [told] = house.neighbours.published

    assert (answer.status, json.loads(answer.body)) == (202, {"event_id": "e1"})
    assert (told.type, told.source, told.subject, dict(told.data), told.event_id) == (
        "order.created",
        "plugin/asker",
        "s",
        {"n": 1},
        "1",
    )


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("order.created", 202),
        ("stock.low", 202),
        ("stock.low.now", 202),
        ("stock", 403),
        ("stocks.low", 403),
        ("order.created.twice", 403),
        ("order.deleted", 403),
        ("orchestrator.plugin.started", 403),
        ("", 422),
        ("Order.created", 422),
        ("order.*", 422),
        (5, 422),
        ("order.created\n", 422),
    ],
)
async def test_only_declared_types_are_published(
    tmp_path: Path, event_type: object, status: int
) -> None:
    async with host_house(tmp_path) as house:
        answer = await ask(house.path, event(type=event_type))

        assert answer.status == status
        assert len(house.neighbours.published) == (1 if status == 202 else 0)
        assert len(house.auditor.entries) == (0 if status == 202 else 1)


async def test_the_orchestrators_own_events_cannot_be_declared(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.broker._grant = type(house.broker._grant)(
            plugin_id="asker",
            publishes=("orchestrator.*",),
            callees=frozenset(),
            max_execution_seconds=1,
        )
        answer = await ask(house.path, event(type="orchestrator.plugin.died"))

    assert (answer.status, answer.code) == (403, "event_not_declared")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 40_000,
        b'{"specversion": "1.0", "type": "order.created", "data": {"n": NaN}}',
        b'{"specversion": "1.0", "type": "order.created", "data": {"n": 1e999}}',
        b'{"specversion": "1.0", "type": "order.created", "data": {"s": "\\ud800"}}',
        b'{"specversion": "1.0", "type": "order.created", "data": [1]}',
        b'{"specversion": "0.3", "type": "order.created"}',
        b'{"type": "order.created"}',
        b'{"specversion": "1.0", "type": "order.created", "data_base64": "AA=="}',
        b'{"specversion": "1.0", "type": "order.created", "datacontenttype": "text/plain"}',
        b'{"specversion": "1.0", "type": "order.created", "id": 5}',
        b'{"specversion": "1.0", "type": "order.created", "subject": "a\\nb"}',
    ],
)
async def test_what_is_no_cloudevent_is_refused(tmp_path: Path, body: bytes) -> None:
    async with host_house(tmp_path) as house:
        answer = await ask(house.path, post("/v1/events", body))

        assert (answer.status, answer.code) == (422, "event_invalid")
        assert house.neighbours.published == []


async def test_an_event_over_the_cap_is_refused_whether_it_says_so_or_not(tmp_path: Path) -> None:
    async with host_house(tmp_path, HostBounds(max_event_bytes=1_000)) as house:
        told = await ask(house.path, post("/v1/events", b"x" * 1_001))
        chunked = "POST /v1/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        untold = await ask(house.path, chunked + "3e9\r\n" + "x" * 1_001)

    assert [told.status, untold.status] == [413, 413]


# -- what may be called -----------------------------------------------------------------------


async def test_the_list_names_what_may_be_called_and_is_deployed(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        answer = await ask(house.path, "GET /v1/plugins HTTP/1.1\r\nHost: h\r\n\r\n")

    plugins = json.loads(answer.body)["plugins"]
    assert [(p["plugin_id"], p["version"], p["running"]) for p in plugins] == [
        ("asker", "1.2.3", True),
        ("helper", "1.2.3", True),
    ]


async def test_a_call_goes_to_its_callee_and_its_answer_comes_back(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.result = Reply(status=418, content_type="text/tea", body=b"short")
        answer = await ask(
            house.path,
            execute(body=b'{"a": 1}', headers="X-Tool: count\r\nContent-Type: text/x\r\n"),
        )
        [made] = house.neighbours.made

    assert (answer.status, answer.headers["content-type"], answer.body) == (
        418,
        "text/tea",
        b"short",
    )
    assert (made.plugin_id, made.body, made.call.tool, made.call.content_type) == (
        "helper",
        b'{"a": 1}',
        "count",
        "text/x",
    )
    assert (made.call.caller, made.call.content_length) == ("plugin:asker", 8)


async def test_a_call_without_a_known_call_behind_it_has_the_plugins_own_deadline(
    tmp_path: Path,
) -> None:
    async with host_house(tmp_path) as house:
        await ask(house.path, execute(headers="X-Request-Id: nobodys\r\n"))
        [made] = house.neighbours.made

    assert (made.call.deadline_seconds, made.inherited.depth, made.inherited.chain) == (
        30.0,
        1,
        ("asker",),
    )


@pytest.mark.parametrize("header", ["X-Request-Id: r7", f"traceparent: {OTHER_SPAN}"])
async def test_the_call_that_is_served_passes_its_deadline_and_chain_on(
    tmp_path: Path, header: str
) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.callers.enter(
            "asker",
            request_id="r7",
            traceparent=TRACE,
            deadline_seconds=3.0,
            depth=2,
            chain=("front", "middle"),
        )
        await ask(house.path, execute(headers=f"{header}\r\n"))
        [made] = house.neighbours.made

    assert 2.0 < made.call.deadline_seconds <= 3.0
    assert made.inherited.deadline_seconds == made.call.deadline_seconds
    assert (made.inherited.depth, made.inherited.chain) == (3, ("front", "middle", "asker"))
    # The plugin's own span, if it names one; else that of the call that it serves.
    assert made.call.traceparent == (OTHER_SPAN if "traceparent" in header else TRACE)


async def test_of_two_calls_under_one_id_each_binds_with_what_it_has(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        enter = house.neighbours.callers.enter
        names = {"request_id": "r7", "traceparent": ""}
        enter("asker", deadline_seconds=3.0, depth=1, chain=("a",), **names)
        leave = enter("asker", deadline_seconds=9.0, depth=4, chain=("b",), **names)
        await ask(house.path, execute(headers="X-Request-Id: r7\r\n"))
        leave()
        await ask(house.path, execute(headers="X-Request-Id: r7\r\n"))
        both, one = house.neighbours.made

    assert both.call.deadline_seconds <= 3.0
    assert (both.inherited.depth, both.inherited.chain) == (5, ("a", "b", "asker"))
    assert (one.inherited.depth, one.inherited.chain) == (2, ("a", "asker"))


async def test_another_plugins_call_passes_nothing_on(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.callers.enter(
            "helper", request_id="r7", traceparent="", deadline_seconds=3_000.0
        )
        await ask(house.path, execute(headers="X-Request-Id: r7\r\n"))

        assert house.neighbours.made[0].call.deadline_seconds == 30.0


async def test_a_caller_may_ask_for_less_time_but_not_for_more(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        await ask(house.path, execute(headers="X-Deadline-Ms: 1500\r\n"))
        await ask(house.path, execute(headers="X-Deadline-Ms: 99000\r\n"))

        assert [made.call.deadline_seconds for made in house.neighbours.made] == [1.5, 30.0]


@pytest.mark.parametrize(
    ("callee", "depth", "chain", "seconds", "status", "code"),
    [
        ("stranger", 0, (), 9.0, 403, "call_not_allowed"),
        ("asker", 0, (), 9.0, 403, "call_cycle"),
        ("helper", 1, ("helper",), 9.0, 403, "call_cycle"),
        ("helper", 8, tuple("abcdefgh"), 9.0, 403, "call_too_deep"),
        ("helper", 0, (), 0.0, 504, "deadline_exceeded"),
    ],
)
async def test_a_call_beyond_the_grant_the_chain_or_the_depth_is_refused(
    tmp_path: Path,
    *,
    callee: str,
    depth: int,
    chain: tuple[str, ...],
    seconds: float,
    status: int,
    code: str,
) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.callers.enter(
            "asker",
            request_id="r7",
            traceparent="",
            deadline_seconds=seconds,
            depth=depth,
            chain=chain,
        )
        answer = await ask(house.path, execute(callee, headers="X-Request-Id: r7\r\n"))
        [entry] = house.auditor.entries

        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert house.neighbours.made == []
        assert (entry.actor, entry.plugin_id, entry.action, entry.outcome) == (
            "plugin:asker",
            "asker",
            "host_call",
            "refused",
        )
        assert dict(entry.data) == {"code": code, "callee": callee}
        assert sum(house.broker.refusals.values()) == 1


async def test_the_eighth_plugin_in_a_chain_is_still_called(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.callers.enter(
            "asker", request_id="r7", traceparent="", deadline_seconds=9, depth=7, chain=("a",)
        )
        answer = await ask(house.path, execute(headers="X-Request-Id: r7\r\n"))

        assert (answer.status, house.neighbours.made[0].inherited.depth) == (200, 8)


async def test_a_failed_call_is_told_as_to_every_other_caller(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.result = CallFailure(code=FailureCode.OVERLOADED, detail="full")
        overloaded = await ask(house.path, execute())
        house.neighbours.result = NoSuchPlugin("found nobody")
        missing = await ask(house.path, execute())

    assert (overloaded.status, overloaded.code) == (503, "overloaded")
    assert (missing.status, missing.code) == (503, "plugin_not_running")


async def test_a_callee_that_keeps_no_deadline_is_not_waited_for(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.hold = asyncio.Event()
        answer = await ask(house.path, execute(headers="X-Deadline-Ms: 50\r\n"))

        assert answer.code == "deadline_exceeded"
        assert house.neighbours.cancelled == 1


async def test_a_caller_that_hangs_up_ends_its_call(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.hold = asyncio.Event()
        raw = await Raw.to(house.path)
        raw.send(execute())
        await until(lambda: house.neighbours.made)
        await raw.close()

        await until(lambda: house.neighbours.cancelled)


async def test_requests_follow_one_another_on_a_connection(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        raw = await Raw.to(house.path)
        statuses = []
        for request in (execute(), event(), "GET /v1/plugins HTTP/1.1\r\nHost: h\r\n\r\n"):
            raw.send(request)
            statuses.append((await raw.answer()).status)
        await raw.close()

    assert statuses == [200, 202, 200]


async def test_a_revoke_ends_the_call_and_takes_the_socket_away_at_once(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.hold = asyncio.Event()
        raw = await Raw.to(house.path)
        raw.send(execute())
        await until(lambda: house.neighbours.made)

        house.broker.close()
        async with asyncio.timeout(0.5):
            assert await raw.rest() == b""
            await until(lambda: house.neighbours.cancelled)
        assert not house.path.exists()
        await raw.close()


async def test_closing_leaves_the_next_brokers_socket_alone(tmp_path: Path) -> None:
    async with host_house(tmp_path) as old, host_house(tmp_path) as new:
        old.broker.close()

        assert (await ask(new.path, execute())).status == 200
