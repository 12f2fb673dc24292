"""Which calls the daemon's log tells of, and how many of a flood."""

import logging

import pytest

from orchestrator.monitoring.call_log import BURST, CallLog
from orchestrator.sandbox.call import Call, FailureCode
from orchestrator.sandbox.observer import CALLERS_FAULT, OK, PLUGIN_ERROR

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALL = Call(
    request_id="r1",
    deadline_seconds=1.0,
    caller="operator",
    traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
)


def test_a_failed_call_is_told_with_its_ids(caplog: pytest.LogCaptureFixture) -> None:
    CallLog(monotonic=lambda: 0.0).ended("notes", CALL, PLUGIN_ERROR, 0.25, 0.0)

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "a call of notes by operator ended with plugin_error"
    told = {name: getattr(record, name) for name in ("plugin", "request_id", "trace_id", "seconds")}
    assert told == {"plugin": "notes", "request_id": "r1", "trace_id": TRACE, "seconds": 0.25}


@pytest.mark.parametrize("outcome", [OK, *sorted(CALLERS_FAULT)])
def test_what_went_well_or_was_the_callers_fault_is_not(
    outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    CallLog(monotonic=lambda: 0.0).ended("notes", CALL, outcome, 0.25, 0.0)

    assert caplog.records == []


def test_a_flood_is_told_in_part_and_its_number_then(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = CallLog(monotonic=lambda: now[0])
    for _ in range(10_000):
        log.ended("notes", CALL, FailureCode.OVERLOADED, 0.0, 0.0)
    now[0] = 1.0
    log.ended("notes", CALL, FailureCode.OVERLOADED, 0.0, 0.0)

    assert len(caplog.records) == BURST + 1
    assert (
        caplog.records[-1].getMessage().endswith(f"; {10_000 - BURST} more before it were not told")
    )
