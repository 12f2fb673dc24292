"""A history as it is stored. What a record of another version lacks is as if nothing had been."""

from orchestrator.manager.restart import History
from orchestrator.store.base import Record


def to_history_record(history: History) -> Record:
    """`from_history_record` is its inverse."""
    return {
        "failures": [*history.failures],
        "restarts": history.restarts,
        "reason": history.reason,
        "detail": history.detail,
        "noted": history.noted,
    }


def from_history_record(record: Record) -> History:
    failures = record.get("failures")
    restarts = record.get("restarts")
    return History(
        failures=tuple(float(str(at)) for at in failures) if isinstance(failures, list) else (),
        restarts=restarts if isinstance(restarts, int) else 0,
        reason=str(record.get("reason", "")),
        detail=str(record.get("detail", "")),
        noted=str(record.get("noted", "")),
    )
