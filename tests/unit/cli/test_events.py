"""`orchestrator events`."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import PLUGIN, FakeDaemon

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "type": "order.created",
    "source": "plugin/shop",
    "subject": "",
    "time": "2026-11-22T16:13:41+00:00",
    "datacontenttype": "application/json",
    "data": {"number": 7},
}
LETTER: dict[str, Any] = {
    "subscriber": "notes",
    "event_id": "e1",
    "type": "order.created",
    "source": "plugin/shop",
    "tries": 8,
    "reason": "it answered with status \x1b[31m500",
    "at": 1_790_000_000.0,
    "body": None,
    "event": EVENT,
}


def wish(daemon: FakeDaemon) -> Any:
    return json.loads(daemon.asked[-1].body)


@pytest.mark.parametrize("way", ["words", "file", "stdin"])
def test_an_event_is_published_with_its_data_from_anywhere(
    shell: Shell, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    daemon.answer("/v1/events", {"event_id": "e1"}, status=202)
    text = '{"number": 7}'
    Path("data.json").write_text(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    given = {"words": text, "file": "@data.json", "stdin": "-"}[way]
    done = shell("events", "publish", "order.created", "--data", given, "--subject", "shop")

    assert (done.code, done.out) == (0, "e1\n")
    sent = wish(daemon)
    assert (sent["type"], sent["subject"], sent["data"]) == (
        "order.created",
        "shop",
        {"number": 7},
    )
    assert sent["who"]


@pytest.mark.parametrize("data", ["{", "[1]", "7", "@/no/such/file"])
def test_data_that_is_no_object_is_refused_before_the_daemon_is_asked(
    shell: Shell, daemon: FakeDaemon, data: str
) -> None:
    done = shell("events", "publish", "order.created", "--data", data)

    assert done.code == 65
    assert "invalid_event_data" in done.err
    assert daemon.asked == []


def test_a_full_bus_has_its_own_exit_code(shell: Shell, daemon: FakeDaemon) -> None:
    problem = {"code": "events_full", "kind": "overloaded", "detail": "too many wait"}
    daemon.answer("/v1/events", problem, status=429)
    done = shell("events", "publish", "order.created")

    assert done.code == 75
    assert "[events_full] too many wait" in done.err


def test_the_latest_are_shown_a_line_each(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/events", [EVENT, {**EVENT, "subject": "x\x1b[31m", "id": "e2"}])
    done = shell("events", "tail", "--type", "order.*", "--plugin", "shop", "--count", "5")

    first, second = done.out.splitlines()
    assert first.endswith('order.created by plugin/shop: {"number": 7}')
    assert "\x1b" not in second
    assert daemon.asked[-1].path == "/v1/events?type=order.%2A&plugin=shop&count=5"


def test_a_follower_prints_what_comes(shell: Shell, daemon: FakeDaemon) -> None:
    lines = json.dumps(EVENT).encode() + b"\n"
    daemon.answer_bytes("/v1/events/stream", lines * 2, "application/x-ndjson")
    done = shell("events", "tail", "--follow", "--json")

    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["e1", "e1"]


def test_dead_letters_are_a_table_with_their_reasons(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/events/dead", [LETTER])
    done = shell("events", "dead", "--plugin", "notes")

    _, row = done.out.splitlines()
    assert "notes" in row
    assert "e1" in row
    assert row.endswith("status ?[31m500")
    assert json.loads(shell("events", "dead", "--json").out) == [LETTER]


def test_a_replay_tells_how_much_of_whom(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/events/replay", {"replayed": {"notes": 2, "a": 1}})
    done = shell("events", "replay", "e1", "e2")

    assert done.out == "a: 1 queued anew\nnotes: 2 queued anew\n"
    assert wish(daemon)["ids"] == ["e1", "e2"]
    assert wish(daemon)["all"] is False


def test_a_discard_tells_how_much_of_whom_and_sends_who_did_it(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/events/discard", {"discarded": {"notes": 2, "a": 1}})
    done = shell("events", "discard", "--plugin", "notes")
    sent = wish(daemon)
    daemon.answer("/v1/events/discard", {"discarded": {}})
    nothing = shell("events", "discard", "--all")

    assert done.out == "a: 1 discarded\nnotes: 2 discarded\n"
    assert (sent["ids"], sent["plugin"], sent["all"]) == ([], "notes", False)
    assert sent["who"] != ""
    assert nothing.out == "no dead letter there\n"


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize(
    "words", [[], ["e1", "--all"], ["--plugin", "a", "--all"], ["e1", "--plugin", "a"]]
)
def test_a_replay_or_discard_is_of_exactly_one_thing(
    shell: Shell, daemon: FakeDaemon, verb: str, words: list[str]
) -> None:
    assert shell("events", verb, *words).code == 64
    assert daemon.asked == []


def test_the_status_of_a_plugin_says_how_many_events_wait_for_it(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/plugins/notes", PLUGIN)
    nothing = shell("status", "notes").out
    daemon.answer("/v1/plugins/notes", {**PLUGIN, "events_waiting": 7})

    assert "wait for it" not in nothing
    assert "7 wait for it" in shell("status", "notes").out
