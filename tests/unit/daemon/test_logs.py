"""The daemon's log in both formats: what a line says, and what it cannot be made to say."""

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from orchestrator.daemon.logs import LEVELS, JsonLines, TextLines, log_event
from orchestrator.daemon.settings import InvalidSetting, settings_from
from orchestrator.model.events import PluginEvent
from orchestrator.monitoring.counts import ALERTS

FORGED = "done\n2026-01-01 00:00:00,000 ERROR orchestrator the audit log was turned off"


def written(formatter: logging.Formatter, *arguments: Any, **extra: Any) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("orchestrator.calls")
    logger.addHandler(handler)
    try:
        logger.warning(*arguments, **extra)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def test_json_has_the_ids_in_fields_of_their_own() -> None:
    extra = {"plugin": "notes", "request_id": "r1", "trace_id": ""}
    line = json.loads(written(JsonLines(), "a call of %s", "notes", extra=extra))

    at = line.pop("at")
    assert at.endswith("Z")
    assert len(at) == len("2026-11-22T16:13:41.788Z")
    assert line == {
        "level": "warning",
        "logger": "orchestrator.calls",
        "message": "a call of notes",
        "plugin": "notes",
        "request_id": "r1",
    }


def test_text_has_them_at_the_end_of_the_line() -> None:
    extra = {"plugin": "notes", "request_id": "r1", "seconds": 0.5}
    line = written(TextLines(), "a call", extra=extra)

    assert line.endswith(
        " WARNING orchestrator.calls a call [plugin=notes request_id=r1 seconds=0.5]\n"
    )


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
@pytest.mark.parametrize("place", ["message", "field"])
def test_a_line_stays_one_line(formatter: logging.Formatter, place: str) -> None:
    if place == "message":
        text = written(formatter, "%s", FORGED)
    else:
        text = written(formatter, "a call", extra={"request_id": FORGED})

    assert text.count("\n") == 1
    assert "turned off" in text


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_a_traceback_is_told(formatter: logging.Formatter) -> None:
    text = written(formatter, "it failed", exc_info=ValueError(FORGED))

    assert "ValueError: done" in text
    if isinstance(formatter, JsonLines):
        assert "ValueError: done" in json.loads(text)["exception"]


def test_an_event_is_told_with_its_plugin(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fields: dict[str, Any] = {"event_id": "1", "at": 1.0, "subject": "notes"}
    log_event(PluginEvent(type="orchestrator.plugin.oom", source="orchestrator/home", **fields))
    log_event(PluginEvent(type="note.made", source="plugin/notes", **fields))

    [record] = caplog.records
    line = json.loads(JsonLines().format(record))
    assert (line["plugin"], line["event"]) == ("notes", "orchestrator.plugin.oom")


def test_an_event_that_waits_for_somebody_is_an_error_and_one_that_passes_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    types = (
        "plugin.gave_up",
        "plugin.died",
        "rollout.rolled_back",
        "engine.lost",
        "plugin.started",
    )
    for name in types:
        log_event(event(f"orchestrator.{name}"))
    log_event(event("orchestrator.engine.lost", source="operator/ada"))
    levels = [record.levelname for record in caplog.records]

    assert levels == ["ERROR", "WARNING", "ERROR", "ERROR", "INFO", "INFO"]


def test_every_event_that_is_counted_as_an_alert_is_more_than_information() -> None:
    assert {name for name in ALERTS if LEVELS.get(name, logging.INFO) == logging.INFO} == set()


def event(name: str, source: str = "orchestrator/home") -> PluginEvent:
    return PluginEvent(type=name, source=source, event_id="1", at=1.0, subject="notes")


def settings(**environment: str) -> Any:
    return settings_from(environment, instance=None, user_home=Path("/home/u"), is_root=False)


def test_text_is_the_default_and_json_a_choice() -> None:
    assert settings().log_format == "text"
    assert settings(ORCHESTRATOR_LOG="json").log_format == "json"
    with pytest.raises(InvalidSetting, match="found 'xml', expected one of text, json"):
        settings(ORCHESTRATOR_LOG="xml")


def test_traces_are_kept_where_a_collector_is_named() -> None:
    assert settings().traces is None
    named = settings(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318/",
        OTEL_SERVICE_NAME="agents",
        OTEL_TRACES_SAMPLER_ARG="0.25",
    ).traces
    assert named.endpoint == "http://c:4318/v1/traces"
    assert (named.service, named.ratio) == ("agents", 0.25)
    whole = settings(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://t/x",
    )
    assert whole.traces.endpoint == "https://t/x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://c:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "c:4318"),
        ("OTEL_TRACES_SAMPLER_ARG", "often"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
    ],
)
def test_a_setting_that_will_not_do_is_named(name: str, value: str) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", name: value}
    with pytest.raises(InvalidSetting, match=name):
        settings(**environment)
