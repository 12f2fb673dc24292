"""CallObserver: who is told of each call that ended. On the call path, so it is quick."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from orchestrator.sandbox.call import Call, FailureCode

OK: Final = "ok"
PLUGIN_ERROR: Final = "plugin_error"
"""The plugin answered 5xx: its own fault."""
CALLER_ERROR: Final = "caller_error"
"""The plugin answered 4xx: the caller's fault."""
CALLER_LEFT: Final = "caller_left"
OUTCOMES: Final = (OK, PLUGIN_ERROR, CALLER_ERROR, CALLER_LEFT, *FailureCode)
"""All that a call can come to."""
CALLERS_FAULT: Final = frozenset(
    {
        CALLER_ERROR,
        CALLER_LEFT,
        FailureCode.INVALID_INPUT,
        FailureCode.UNKNOWN_TOOL,
        FailureCode.REQUEST_TOO_LARGE,
    }
)
"""What says nothing about how the plugin does: left out of its success rate."""
NEVER_BEGUN: Final = frozenset(
    {
        FailureCode.INVALID_INPUT,
        FailureCode.UNKNOWN_TOOL,
        FailureCode.REQUEST_TOO_LARGE,
        FailureCode.OVERLOADED,
        FailureCode.PLUGIN_NOT_RUNNING,
        FailureCode.DAEMON_STOPPING,
    }
)
"""Refused: such a call took no time worth counting."""


class CallObserver(Protocol):
    """Told once for each call, when its last byte went out or it failed."""

    trace: Callable[[Call], Call] | None
    """Gives a call a span of its own before the plugin sees it; None while no traces are kept."""

    def ended(
        self, plugin_id: str, call: Call, outcome: str, seconds: float, waited: float
    ) -> None:
        """`outcome` is one of OUTCOMES; a plugin may be one that does not exist.

        `seconds` are from dispatch to the last byte, `waited` of them passed before the plugin
        had the call; both are 0 for one that was never dispatched.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CallWatch:
    """The calls of one plugin, on their way to who is told of them."""

    plugin_id: str
    observer: CallObserver
    monotonic: Callable[[], float]


class NobodyWatches:
    """A CallObserver where none is wanted."""

    trace: Callable[[Call], Call] | None = None

    def ended(
        self, plugin_id: str, call: Call, outcome: str, seconds: float, waited: float
    ) -> None: ...
