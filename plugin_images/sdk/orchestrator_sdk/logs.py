"""JSON lines on standard error: what the host collects, searches and shows."""

import json
import logging
import sys
import time

from orchestrator_sdk.call import CURRENT


class JsonLines(logging.Formatter):
    """One object a line; `request_id` and `trace_id` tie a line to the call it was written in."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = CURRENT.get()
        if call is not None and call.request_id:
            line["request_id"] = call.request_id
        if call is not None and (trace_id := call.trace_id()):
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def install() -> None:
    """Send every logger of the process to standard error, from level INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
