"""What a plugin says of itself, taken as data: no answer of one ends the daemon or hides it."""

import json
from typing import Any

import pytest

from orchestrator.manager.bring_up import in_words
from orchestrator.manager.probe import MAX_DETAIL, MAX_METRICS, read_report
from orchestrator.sandbox.call import Reply

DEEP = "[" * 100_000 + "]" * 100_000
HALF = '"\\ud800"'


def reply(body: str, status: int = 200) -> Reply:
    return Reply(status=status, content_type="application/json", body=body.encode())


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        DEEP,
        '{"state": []}',
        '{"state": {}}',
        '{"state": null}',
        '{"state": "fine"}',
        f'{{"state": {DEEP}}}',
        '{"state": ' + "9" * 10_000 + "}",
        f'{{"state": {HALF}}}',
        "\x00",
    ],
)
def test_a_report_that_is_none_is_an_error_of_the_plugins(body: str) -> None:
    report = read_report(reply(body))

    assert report.state == "error"
    report.detail.encode()


@pytest.mark.parametrize("detail", [HALF, "[]", "{}", "7", "null", json.dumps("x" * 100_000)])
def test_a_reports_detail_is_text_that_can_be_written_down(detail: str) -> None:
    report = read_report(reply(f'{{"state": "ready", "detail": {detail}}}'))

    assert report.state == "ready"
    assert len(report.detail.encode()) <= MAX_DETAIL


@pytest.mark.parametrize(
    ("metrics", "kept"),
    [
        ({"a": 1, "b": 2.5}, 2),
        ({"a": True, "b": "1", "c": None, "d": [], "e": 10**400}, 0),
        ({f"m{n}": n for n in range(1_000)}, MAX_METRICS),
        ("no mapping", 0),
    ],
)
def test_a_reports_metrics_are_numbers_and_few(metrics: Any, kept: int) -> None:
    report = read_report(reply(json.dumps({"state": "ready", "metrics": metrics})))

    assert len(report.metrics) == kept


def test_a_metrics_name_is_text_that_can_be_written_down() -> None:
    report = read_report(reply(f'{{"state": "ready", "metrics": {{{HALF}: 1, "x": NaN}}}}'))

    assert [name.encode() for name, _ in report.metrics] == [b"?"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"detail": "no licence", "title": "x"}', "no licence"),
        ('{"detail": "", "title": "refused"}', "refused"),
        ('{"detail": ["no"], "title": "refused"}', "refused"),
        ("plain words", "plain words"),
        ("", ""),
        (f'{{"detail": {HALF}}}', "?"),
    ],
)
def test_a_refusal_is_told_in_the_plugins_words(body: str, words: str) -> None:
    assert in_words(500, body.encode()) == f"status 500: {words}"


@pytest.mark.parametrize("body", [DEEP, f'{{"detail": {DEEP}}}', "\xff" * 1_000_000])
def test_a_refusal_is_told_briefly_whatever_it_is(body: str) -> None:
    assert len(in_words(500, body.encode("latin-1"))) < 600


def test_the_same_words_fit_into_every_report() -> None:
    report = read_report(reply(f'{{"detail": {DEEP}}}', status=503))

    assert report.state == "error"
