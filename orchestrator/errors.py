"""The one root of our errors. Leaves live beside their raiser and carry evidence.

`kind` decides the HTTP status (server/problems.py) and the exit code (cli/main.py), once each;
`code` is stable, documented in docs/errors.md and unique per leaf.
"""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of trouble; the caller's next step depends on it alone."""

    INVALID = "invalid"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    EXHAUSTED = "exhausted"
    PLUGIN = "plugin"
    INTERNAL = "internal"


class OrchestratorError(Exception):
    """Something the orchestrator refuses or cannot do; the message is for the operator."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    code: ClassVar[str] = "internal_error"
