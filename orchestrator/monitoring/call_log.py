"""CallLog: calls that failed by no fault of their callers', each a line of the daemon's log.

A flood of them fills no log: so many a second are told, and then how many were not.
"""

import logging
from collections.abc import Callable
from typing import Final

from orchestrator.monitoring.recorder import trace_id_of
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.meter import TokenBucket
from orchestrator.sandbox.observer import CALLERS_FAULT, OK

PER_SECOND: Final = 2.0
BURST: Final = 50
_LOG = logging.getLogger("orchestrator.calls")


class CallLog:
    """`ended` is what a CallRecorder tells."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._bucket = TokenBucket(per_second=PER_SECOND, burst=BURST, now=monotonic)
        self._untold = 0

    def ended(
        self, plugin_id: str, call: Call, outcome: str, seconds: float, waited: float
    ) -> None:
        """On the call path: one comparison for a call that went well."""
        if outcome == OK or outcome in CALLERS_FAULT:
            return
        if not self._bucket.take():
            self._untold += 1
            return
        before, self._untold = self._untold, 0
        _LOG.warning(
            "a call of %s by %s ended with %s%s",
            *(plugin_id, call.caller or "nobody known", outcome),
            f"; {before} more before it were not told" if before else "",
            extra={
                "plugin": plugin_id,
                "request_id": call.request_id,
                "trace_id": trace_id_of(call.traceparent),
                "outcome": str(outcome),
                "seconds": round(seconds, 6),
            },
        )
