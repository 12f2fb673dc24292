from typing import Any

import pytest

from orchestrator.cli.progress import Progress
from orchestrator.client.settled import FAILED, ON_ITS_WAY, fell_short, settled
from orchestrator.model.lifecycle import LIFECYCLE
from orchestrator.model.status import PluginState, SubState
from tests.unit.cli.fake_daemon import PLUGIN_ROW


def _row(plugin_id: str, status: str, detail: str, **more: Any) -> dict[str, Any]:
    return {**PLUGIN_ROW, "plugin_id": plugin_id, "status": status, "detail": detail, **more}


@pytest.mark.parametrize(
    ("sub_state", "is_settled", "is_failed"),
    [
        (SubState.RUNNING, True, False),
        (SubState.DEGRADED, True, False),
        (SubState.STOPPED, True, False),
        (SubState.IDLE, True, False),
        (SubState.BACKING_OFF, True, True),
        (SubState.GAVE_UP, True, True),
        (SubState.HELD, True, True),
        (SubState.ROLLED_BACK, True, True),
        (SubState.ADOPTING, False, True),
        (SubState.STARTING, False, True),
        (SubState.WAITING, False, True),
    ],
)
def test_a_plugin_is_waited_for_while_it_is_on_its_way(
    sub_state: SubState, *, is_settled: bool, is_failed: bool
) -> None:
    row = _row("a", LIFECYCLE[sub_state].state, "whatever", sub_state=sub_state)

    assert settled(row) is is_settled
    assert fell_short(row) is is_failed


@pytest.mark.parametrize(
    ("state", "moving", "reason", "ends"),
    [
        ("progressing", False, "build_failed", True),
        ("progressing", False, "", False),
        ("progressing", True, "build_failed", False),  # it may still be gone back from
        ("completed", False, "exit_code_1", False),  # it failed once, long ago
    ],
)
def test_a_change_that_fails_with_nothing_to_go_back_to_is_not_waited_for(
    state: str, reason: str, *, moving: bool, ends: bool
) -> None:
    row = _row(
        *("a", "active", "updating"),
        sub_state="updating",
        settled=False,
        reason=reason,
        rollout={"state": state, "moving": moving},
    )

    assert settled(row) is ends
    assert fell_short(row)


def test_what_failed_once_while_it_was_new_and_runs_again_did_not_fall_short() -> None:
    row = _row(
        *("a", "active", "running"),
        sub_state="running",
        settled=True,
        reason="stopped_from_outside",
        rollout={"state": "progressing", "moving": False},
    )

    assert settled(row)
    assert not fell_short(row)


def test_what_is_on_its_way_is_inactive_and_neither_stopped_nor_held() -> None:
    inactive = {sub for sub, row in LIFECYCLE.items() if row.state is PluginState.INACTIVE}

    assert inactive - {SubState.STOPPED, SubState.HELD} == ON_ITS_WAY
    assert {*SubState} >= FAILED


def test_each_change_is_one_line_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for detail in ("starting", "starting", "building"):
        one = _row("a", "inactive", detail, sub_state="starting")
        progress.show([one, _row("long", "active", "running")])
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
