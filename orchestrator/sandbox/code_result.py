"""CodeResult: how a run of handed-in code ended. What the sandbox answers is believed in nothing.

The code may have taken the runner over, so its answer is read as an attacker's: typed, bounded,
and in the end only its own word about itself.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue, ValidationError

from orchestrator.errors import Kind
from orchestrator.model.base import Model
from orchestrator.sandbox.call import CallFailure, FailureCode, Reply

MAX_DETAIL_CHARACTERS: Final = 32_768
MAX_DEPTH: Final = 100
"""Of the result: deeper values break those who read them."""
_HTTP_OK: Final = 200


class CodeEnd(StrEnum):
    """Why a run ended; plugin_images/code-python/README.md explains each."""

    OK = "ok"
    EXCEPTION = "exception"
    EXITED = "exited"
    KILLED = "killed"
    OOM_KILLED = "oom_killed"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    RESULT_NOT_JSON = "result_not_json"
    RESULT_TOO_LARGE = "result_too_large"
    SANDBOX_LOST = "sandbox_lost"
    """The code ended its own sandbox, or made it answer garbage."""


END_KIND: Final = MappingProxyType(
    {
        CodeEnd.EXCEPTION: Kind.PLUGIN,
        CodeEnd.EXITED: Kind.PLUGIN,
        CodeEnd.KILLED: Kind.PLUGIN,
        CodeEnd.OOM_KILLED: Kind.EXHAUSTED,
        CodeEnd.DEADLINE_EXCEEDED: Kind.TIMEOUT,
        CodeEnd.RESULT_NOT_JSON: Kind.INVALID,
        CodeEnd.RESULT_TOO_LARGE: Kind.EXHAUSTED,
        CodeEnd.SANDBOX_LOST: Kind.PLUGIN,
    }
)
"""Every end but `ok`."""


_ENDS: Final = frozenset(CodeEnd)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeResult:
    """What a run came to; the code's failure is a value."""

    reason: CodeEnd
    result: JsonValue = None
    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    detail: str = ""
    """The traceback of the code's own frames, the exit code, or what else there is to say."""
    duration_seconds: float = 0.0
    """From the hand-over to the answer; the start of a sandbox is not in it."""


class _Answer(Model):
    reason: str
    detail: str = ""
    result_json: str = "null"
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool


def read_answer(answer: Reply | CallFailure, *, duration_seconds: float) -> CodeResult:
    """Whatever the sandbox answered, as a result."""
    if isinstance(answer, CallFailure):
        late = answer.code is FailureCode.DEADLINE_EXCEEDED
        reason = CodeEnd.DEADLINE_EXCEEDED if late else CodeEnd.SANDBOX_LOST
        return CodeResult(reason=reason, detail=answer.detail, duration_seconds=duration_seconds)
    said = _said(answer)
    if said is None:
        return CodeResult(
            reason=CodeEnd.SANDBOX_LOST,
            detail="the sandbox's answer was garbage: the code broke the runner",
            duration_seconds=duration_seconds,
        )
    result, detail, reason = None, said.detail, CodeEnd(said.reason)
    if reason is CodeEnd.OK:
        try:
            result = _value(said.result_json)
        except ValueError as error:
            reason, detail = CodeEnd.RESULT_NOT_JSON, str(error)
    return CodeResult(
        reason=reason,
        result=result,
        stdout=said.stdout,
        stderr=said.stderr,
        stdout_truncated=said.stdout_truncated,
        stderr_truncated=said.stderr_truncated,
        detail=detail[-MAX_DETAIL_CHARACTERS:],
        duration_seconds=duration_seconds,
    )


def _said(answer: Reply) -> _Answer | None:
    try:
        said = _Answer.model_validate_json(answer.body)
    except ValidationError:
        return None
    return said if answer.status == _HTTP_OK and said.reason in _ENDS else None


def to_json(result: CodeResult) -> bytes:
    """As sent over HTTP and printed; ASCII, since a result may hold half a surrogate pair."""
    names = CodeResult.__slots__
    return json.dumps({name: getattr(result, name) for name in names}).encode()


def _value(text: str) -> JsonValue:
    """Raises ValueError."""
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"the result nests deeper than {MAX_DEPTH} levels") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: JsonValue) -> None:
    level: list[JsonValue] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"the result nests deeper than {MAX_DEPTH} levels")


def _refuse(name: str) -> JsonValue:
    raise ValueError(f"the result holds {name}, which is no JSON")
