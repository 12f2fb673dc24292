"""`orchestrator report` against a fake daemon."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon
from tests.unit.monitoring.showcase import sample_report

REPORT = "/v1/analytics/report"


@pytest.fixture(autouse=True)
def _an_answer(daemon: FakeDaemon) -> None:
    daemon.answer(REPORT, sample_report())


def test_a_report_of_a_day_is_told_without_asking_for_more(
    shell: Shell, daemon: FakeDaemon
) -> None:
    shown = shell("report")

    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("Report of default, 24h\n")
    assert "\x1b" not in shown.out
    assert [asked.path for asked in daemon.asked] == [f"{REPORT}?timeframe=24h"]


def test_the_timeframe_is_asked_for(shell: Shell, daemon: FakeDaemon) -> None:
    shell("report", "--timeframe", "7d")

    assert [asked.path for asked in daemon.asked] == [f"{REPORT}?timeframe=7d"]


def test_json_is_what_the_daemon_said(shell: Shell) -> None:
    assert json.loads(shell("report", "--format", "json").out) == json.loads(
        json.dumps(sample_report())
    )


@pytest.mark.parametrize(
    ("form", "begins"),
    [("html", "<!doctype html>"), ("markdown", "# Plugins of default"), ("text", "Report of")],
)
def test_a_report_goes_to_a_file(shell: Shell, tmp_path: Path, form: str, begins: str) -> None:
    shown = shell("report", "--format", form, "--output", "report.out")

    assert (shown.code, shown.out) == (0, "")
    assert shown.err == f"{form} report of the last 24h written to report.out\n"
    assert (tmp_path / "report.out").read_text().startswith(begins)


def test_a_file_that_cannot_be_written_is_named(shell: Shell) -> None:
    shown = shell("report", "--output", "nowhere/report.html")

    assert shown.code == 65
    assert "error [report_not_written] --output: found 'nowhere/report.html'" in shown.err


def test_a_form_that_is_none_is_usage(shell: Shell) -> None:
    assert shell("report", "--format", "pdf").code == 64


def test_a_timeframe_that_is_none_is_told_as_the_daemon_tells_it(
    shell: Shell, daemon: FakeDaemon
) -> None:
    problem = {"code": "timeframe_invalid", "kind": "invalid", "detail": "timeframe: found '1w'"}
    daemon.answer(REPORT, problem, status=422)

    shown = shell("report", "--timeframe", "1w")

    assert (shown.code, shown.err) == (65, "error [timeframe_invalid] timeframe: found '1w'\n")
