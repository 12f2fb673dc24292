from typing import Any

import pytest

from orchestrator.cli.progress import Progress, held, settled
from tests.unit.cli.fake_daemon import PLUGIN_ROW


def _row(plugin_id: str, status: str, detail: str) -> dict[str, Any]:
    return {**PLUGIN_ROW, "plugin_id": plugin_id, "status": status, "detail": detail}


@pytest.mark.parametrize(
    ("status", "detail", "is_settled"),
    [
        ("active", "running", True),
        ("error", "restarting in 3.0 s", True),
        ("inactive", "stopped", True),
        ("inactive", "starting", False),
        ("inactive", "waiting for other", False),
    ],
)
def test_a_plugin_is_waited_for_while_it_is_on_its_way(
    status: str, detail: str, *, is_settled: bool
) -> None:
    assert settled(_row("a", status, detail)) is is_settled


def test_who_waits_for_a_plugin_that_failed_is_not_waited_for() -> None:
    rows = [
        _row("a", "error", "gave up"),
        _row("b", "inactive", "waiting for x, a"),
        _row("c", "inactive", "waiting for b"),
        _row("d", "inactive", "waiting for x"),
        _row("x", "inactive", "starting"),
    ]

    assert [row["plugin_id"] for row in rows if held(row, rows)] == ["b", "c"]


def test_each_change_is_one_line_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for detail in ("starting", "starting", "building"):
        progress.show([_row("a", "inactive", detail), _row("long", "active", "running")])
    progress.end()

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "  a     ○ inactive  starting",
        "  long  ● active  running",
        "  a     ○ inactive  building",
    ]


def test_nothing_is_told_where_nothing_is_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().show([_row("a", "active", "running")])

    assert capsys.readouterr().err == ""
