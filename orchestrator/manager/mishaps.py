"""Mishaps: what a step raised, as a value; and how long to wait before the same step comes again.

A fault of ours in one plugin's step is that plugin's failure and nobody else's: it is written to
the log with its traceback, and the loop goes on.
"""

import logging
from collections.abc import Awaitable, Hashable
from typing import Final

from orchestrator.errors import Kind, OrchestratorError

FIRST_PAUSE_SECONDS: Final = 0.5
MOST_PAUSE_SECONDS: Final = 60.0
_LOG = logging.getLogger("orchestrator")


class HostFailure(OrchestratorError):
    """A file or folder of the daemon's own could not be written: a full disk, say."""

    kind, code = Kind.EXHAUSTED, "host_failure"


async def attempt(step: Awaitable[None], words: str) -> OrchestratorError | None:
    """What the step raised, as one of ours; None if it went well."""
    try:
        await step
    except OrchestratorError as error:
        return error
    except OSError as error:
        return HostFailure(f"this machine: {error}")
    except Exception as error:  # noqa: BLE001 — whatever it is, the loop goes on
        _LOG.exception("a fault of the orchestrator's own while %s", words)
        found = f"{type(error).__name__}: {error}"
        return OrchestratorError(f"{words}: found {found}; the daemon's log has its traceback")
    return None


class Pauses:
    """Steps that back-off does not hold (a removal, say) are held here when they fail."""

    def __init__(self) -> None:
        self._failed: dict[Hashable, int] = {}

    def after_failure(self, step: Hashable) -> float:
        """Seconds until the step may be tried again: doubled with each failure in a row."""
        count = self._failed.get(step, 0)
        self._failed[step] = count + 1
        return float(min(FIRST_PAUSE_SECONDS * 2.0**count, MOST_PAUSE_SECONDS))

    def after_success(self, step: Hashable) -> None:
        self._failed.pop(step, None)
