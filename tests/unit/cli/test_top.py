"""`orchestrator top`: what two looks make, and a terminal that is as it was afterwards."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.top import ENTER, LEAVE, QUIT
from orchestrator.cli.top_view import KEYS, SORTS, TopRow, ordered, picture, rows_of
from orchestrator.monitoring.tally import BOUNDS
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon

LIVE = "/v1/analytics/live"
MIB = 1 << 20
SECONDS = 20.0


def _plugin(plugin_id: str, calls: int = 0, failed: int = 0, **changed: Any) -> dict[str, Any]:
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[3] = calls
    return {
        "plugin_id": plugin_id,
        "status": "active",
        "sub_state": "running",
        "restarts": 0,
        "calls": calls,
        "judged": calls,
        "failed": failed,
        "bounds": BOUNDS,
        "buckets": buckets,
        "least_seconds": 0.003,
        "most_seconds": 0.004,
        "in_flight": 1,
        "queued": 0,
        "cpu_percent": 5.0,
        "cpu_limit_percent": 10,
        "memory_bytes": 50 * MIB,
        "memory_limit_bytes": 100 * MIB,
        **changed,
    }


def _look(at: float, *plugins: dict[str, Any], daemon: str = "1@1") -> dict[str, Any]:
    return {"daemon": daemon, "at": at, "plugins": [*plugins]}


def _row(plugin_id: str, **changed: Any) -> TopRow:
    values: dict[str, Any] = {
        "plugin_id": plugin_id,
        "status": "active",
        "sub_state": "running",
        "calls_per_second": 1.0,
        "judged_per_second": 1.0,
        "error_ratio": 0.0,
        "p50_seconds": 0.003,
        "p95_seconds": 0.004,
        "cpu_percent": 5.0,
        "cpu_limit_percent": 10.0,
        "memory_bytes": 50.0 * MIB,
        "memory_limit_bytes": 100.0 * MIB,
        "in_flight": 1,
        "queued": 0,
        "restarts": 0,
    }
    return TopRow(**{**values, **changed})


def _shown(rows: list[TopRow], **changed: Any) -> list[str]:
    wish: dict[str, Any] = {"title": "t", "sort": "calls", "width": 80, "height": 24, "keys": False}
    return picture(rows, **{**wish, **changed})


# -- two looks ----------------------------------------------------------------------------------


def test_two_looks_make_rates() -> None:
    [row] = rows_of(_look(10.0, _plugin("a", 100, 5)), _look(12.0, _plugin("a", 140, 6)))

    assert (row.calls_per_second, row.error_ratio) == (20.0, 1 / 40)
    assert row.p50_seconds == pytest.approx(0.0035, rel=0.1)
    assert (row.cpu_ratio, row.memory_ratio) == (0.5, 0.5)


def test_a_flood_of_what_callers_do_wrong_hides_no_failures() -> None:
    before, after = _look(10, _plugin("a")), _look(12, _plugin("a", 1_000, 5, judged=10))
    rows = rows_of(before, after)

    assert rows[0].error_ratio == 0.5
    shown = picture(rows, title="t", sort="calls", width=80, height=9, keys=False)
    assert "50.0 % errors" in shown[1]


@pytest.mark.parametrize(
    "before",
    [
        None,
        _look(10.0, _plugin("a", 500), daemon="2@2"),
        _look(10.0),
        _look(10.0, _plugin("a", 500)),
        _look(12.0, _plugin("a", 1)),
    ],
    ids=["first look", "another daemon", "new plugin", "counts anew", "no time passed"],
)
def test_what_two_looks_cannot_tell_is_not_told(before: dict[str, Any] | None) -> None:
    [row] = rows_of(before, _look(12.0, _plugin("a", 40)))

    assert (row.calls_per_second, row.error_ratio, row.p95_seconds) == (None, None, None)
    assert row.memory_bytes == 50 * MIB


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("calls", {"calls_per_second": 2.0}),
        ("errors", {"error_ratio": 0.5}),
        ("p95", {"p95_seconds": 9.0}),
        ("cpu", {"cpu_percent": 9.0}),
        ("memory", {"memory_bytes": 99.0 * MIB}),
        ("queue", {"queued": 7}),
    ],
)
def test_the_largest_comes_first(sort: str, first: dict[str, Any]) -> None:
    rows = [_row("a"), _row("b"), _row("z", **first)]

    assert [row.plugin_id for row in ordered(rows, sort)] == ["z", "a", "b"]


def test_every_order_has_a_key_of_its_own() -> None:
    assert set(KEYS.values()) == set(SORTS)
    assert len(KEYS) == len(SORTS)
    assert QUIT.isdisjoint(KEYS)


# -- the picture --------------------------------------------------------------------------------


def test_a_line_has_everything_of_a_plugin() -> None:
    lines = _shown([_row("notes", error_ratio=0.25, queued=3)])

    assert lines[1:] == [
        "1 of 1 active · 1 calls/s · 25.0 % errors · 1 in flight · 3 queued",
        "  PLUGIN             CALLS/S  ERR %     P50     P95      CPU %     MEMORY  QUEUE",
        "● notes                    1   25.0 3.00 ms 4.00 ms ██░░░    5 ██░░░  50%    1+3",
    ]


@pytest.mark.parametrize("width", [60, 80, 96, 124, 200])
@pytest.mark.parametrize("height", [1, 6, 24, 60])
def test_the_picture_stays_within_the_terminal(width: int, height: int) -> None:
    hostile = _row("\x1b[2J" + "x" * 90, sub_state="\x1b]0;y\x07", calls_per_second=123_456.0)
    rows = [hostile, *(_row(f"plugin-{number}") for number in range(40))]

    lines = _shown(rows, width=width, height=height, keys=True, title="t" * 300)

    assert max(len(line) for line in lines) <= max(width, 80)
    assert len(lines) <= max(height, 5)
    assert "\x1b" not in "".join(lines)


def test_what_finds_no_room_is_counted() -> None:
    lines = _shown([_row(f"p{number}") for number in range(10)], height=6)

    assert lines[-1] == "  … and 8 more"


def test_what_is_not_known_is_a_dash() -> None:
    unknown = dict.fromkeys(
        ["calls_per_second", "error_ratio", "p50_seconds", "p95_seconds", "cpu_percent"]
    )

    line = _shown([_row("notes", memory_bytes=None, **unknown)])[-1]

    assert line.split() == ["●", "notes", "-", "-", "-", "-", "-", "-", "1+0"]


# -- the command --------------------------------------------------------------------------------


def test_once_shows_one_picture_and_drives_no_terminal(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer(LIVE, _look(1.0, _plugin("notes", 7)))

    shown = shell("top", "--once", "--interval", "0.1")

    assert (shown.code, shown.err) == (0, "")
    assert "● notes" in shown.out
    assert "\x1b" not in shown.out
    assert [asked.path for asked in daemon.asked] == [LIVE, LIVE]


def test_without_a_terminal_it_is_once_by_itself(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer(LIVE, _look(1.0, _plugin("notes", 7)))

    assert "● notes" in shell("top", "--interval", "0.1").out


def test_json_is_a_line_for_programs(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer(LIVE, _look(1.0, _plugin("b"), _plugin("a")))

    shown = shell("top", "--once", "--json", "--sort", "name", "--interval", "0.1")

    assert [row["plugin_id"] for row in json.loads(shown.out)] == ["a", "b"]


def test_without_a_daemon_it_says_so(shell: Shell) -> None:
    shown = shell("top", "--once")

    assert shown.code == 69
    assert "daemon_not_running" in shown.err


class Terminal:
    """`orchestrator top` on a terminal of its own."""

    def __init__(self, home: Path) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        environment = {**os.environ, "ORCHESTRATOR_HOME": str(home), "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "top", "--interval", "0.2"],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=environment,
            start_new_session=True,
        )

    def until(self, text: str) -> None:
        """Read until that was shown."""
        end = time.monotonic() + SECONDS
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.seen
            self.seen += os.read(self.master, 65_536)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize("end", ["q", "SIGINT", "SIGTERM", "SIGHUP"])
def test_whatever_ends_it_the_terminal_is_as_it_was(
    daemon: FakeDaemon, tmp_path: Path, end: str
) -> None:
    daemon.answer(LIVE, _look(1.0, _plugin("notes", 7)))
    terminal = Terminal(tmp_path / "home")
    try:
        terminal.until(" notes")
        if end == "q":
            os.write(terminal.master, b"m")
            terminal.until("s · by memory")
            os.write(terminal.master, b"q")
        else:
            terminal.process.send_signal(signal.Signals[end])
        terminal.until(LEAVE)

        assert terminal.process.wait(SECONDS) == (0 if end == "q" else 130)
        assert ENTER.encode() in terminal.seen
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()


def test_a_daemon_that_goes_is_waited_for(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answer(LIVE, _look(1.0, _plugin("notes", 7)))
    terminal = Terminal(tmp_path / "home")
    try:
        terminal.until("notes")
        socket = tmp_path / "home" / "default" / "daemon.sock"
        socket.rename(tmp_path / "aside")
        terminal.until("no daemon answers")
        (tmp_path / "aside").rename(socket)
        terminal.seen = b""
        terminal.until("orchestrator top · default")
    finally:
        terminal.close()
