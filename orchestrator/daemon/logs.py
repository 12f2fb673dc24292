"""The daemon's log: text for people, or JSON lines for a machine that collects them.

Whatever a line is about is in fields of its own: the plugin, the call's request id, the trace. A
caller's or a plugin's words cannot forge a line: both formats put them on one.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import MappingProxyType
from typing import Final

from orchestrator.model.events import EventName, PluginEvent

LOG_BYTES: Final = 5_000_000
FIELDS: Final = ("plugin", "request_id", "trace_id", "event", "outcome", "seconds")
"""What `extra` may carry beside a message."""
LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {
        EventName.PLUGIN_START_FAILED: logging.WARNING,
        EventName.PLUGIN_DIED: logging.WARNING,
        EventName.PLUGIN_STUCK: logging.WARNING,
        EventName.PLUGIN_VANISHED: logging.WARNING,
        EventName.PLUGIN_DRIFTED: logging.WARNING,
        EventName.PLUGIN_DEGRADED: logging.WARNING,
        EventName.PLUGIN_OOM: logging.WARNING,
        EventName.PLUGIN_QUOTA_EXCEEDED: logging.WARNING,
        EventName.PLUGIN_GAVE_UP: logging.ERROR,
        EventName.PLUGIN_UNFIT: logging.ERROR,
        EventName.STATE_REBUILT: logging.ERROR,
        EventName.EVENT_DEAD: logging.WARNING,
        EventName.EVENT_DROPPED: logging.WARNING,
        EventName.ROLLOUT_FAILED: logging.WARNING,
        EventName.ROLLOUT_ROLLED_BACK: logging.ERROR,
        EventName.GITOPS_FAILED: logging.ERROR,
        EventName.GITOPS_REFUSED: logging.ERROR,
        EventName.GITOPS_ROLLED_BACK: logging.ERROR,
        EventName.GITOPS_HEALED: logging.WARNING,
        EventName.GITOPS_UNREACHABLE: logging.WARNING,
        EventName.ENGINE_LOST: logging.ERROR,
        EventName.DAEMON_TASK_FAILED: logging.ERROR,
    }
)
"""Of the orchestrator's own events; any other is information. An error waits for somebody."""
_EVENTS: Final = logging.getLogger("orchestrator.events")
_LOG: Final = logging.getLogger("orchestrator")


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class TextLines(logging.Formatter):
    """`2026-11-22 16:13:41,788 WARNING orchestrator.calls message [plugin=notes request_id=r1]`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own
        """The head of the line; a traceback comes below it."""
        known = {name: value for name, value in _fields(record).items() if name != "event"}
        tail = " ".join(f"{name}={value}" for name, value in known.items())
        line = super().formatMessage(record) + (f" [{tail}]" if tail else "")
        return line.replace("\r", "\\r").replace("\n", "\\n")


class JsonLines(logging.Formatter):
    """One object a line; the names are those of the SDK's log lines, where both have them."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = ((name, getattr(record, name, None)) for name in FIELDS)
    return {name: value for name, value in found if value not in {None, ""}}


def set_up_log(path: Path, log_format: LogFormat, *, on_stderr: bool) -> None:
    """Everything into the file, and to standard error where somebody watches that."""
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1),
        *([logging.StreamHandler()] if on_stderr else []),
    ]
    for handler in handlers:
        handler.setFormatter(JsonLines() if log_format is LogFormat.JSON else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    sys.excepthook = lambda kind, value, trace: _LOG.critical(
        "the daemon ends", exc_info=(kind, value, trace)
    )


def log_event(event: PluginEvent) -> None:
    """Not what plugins publish: they could fill the log and so empty it of all else."""
    if event.source.startswith("plugin/"):
        return
    data: Mapping[str, object] = dict(event.data)
    about = {"plugin": event.subject, "event": event.type}
    own = event.source.startswith("orchestrator/")
    level = LEVELS.get(event.type, logging.INFO) if own else logging.INFO
    _EVENTS.log(level, "%s %s", event.type, json.dumps(data), extra=about)
