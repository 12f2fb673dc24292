"""What a request's query holds, read with errors that name the parameter."""

import math
from typing import Final

from starlette.requests import Request

from orchestrator.errors import Kind, OrchestratorError

_MOST: Final = 1e15
"""More than any moment or count; what is larger is no number that anybody means."""


class BadRequest(OrchestratorError):
    kind, code = Kind.INVALID, "bad_request"


def number(request: Request, name: str, default: float = 0.0) -> float:
    """A number from 0 on. Raises BadRequest."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= _MOST:
        raise BadRequest(f"query: {name}: found {text[:50]!r}, expected a number from 0 on")
    return value
