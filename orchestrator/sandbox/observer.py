"""CallObserver: who is told of each call that ended. On the call path, so it is quick."""

from typing import Final, Protocol

from orchestrator.sandbox.call import Call

OK: Final = "ok"
PLUGIN_ERROR: Final = "plugin_error"
CALLER_LEFT: Final = "caller_left"


class CallObserver(Protocol):
    """Told once for each call, when its last byte went out or it failed."""

    def ended(self, plugin_id: str, call: Call, outcome: str, seconds: float) -> None:
        """`outcome` is OK, PLUGIN_ERROR (the plugin answered 4xx or 5xx), or a FailureCode.

        `seconds` are from dispatch to the last byte, waiting for a connection included.
        """
