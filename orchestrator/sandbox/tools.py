"""ToolBox: the declared tools of a plugin; input and output held to their schemas by the host."""

import json
import re
from collections.abc import Iterable
from typing import Final, NoReturn

from orchestrator.model.info import ToolInfo
from orchestrator.model.json_schema import SchemaChecker
from orchestrator.sandbox.call import CallFailure, FailureCode, Sink


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"found {name}, which is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
"""Python's own would let NaN and Infinity pass, and bytes in UTF-16 or UTF-32."""

MAX_VALUES: Final = 1_000_000
"""Of one input or output: three bytes of JSON can be a hundred as an object."""
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def _bound(body: bytes) -> None:
    """Raises ValueError for JSON of too many values, before there is an object for each."""
    texts = (body.count(b'"') - body.count(b'\\"')) // 2
    # Few enough texts to leave them out, where there may be such marks within.
    if texts > MAX_VALUES or (
        _marks(body) > MAX_VALUES and _marks(_TEXT.sub(b"", body)) > MAX_VALUES
    ):
        raise ValueError(f"found more than {MAX_VALUES} values")


def _marks(body: bytes) -> int:
    """What stands between values and around them; there are no more values than that, but one."""
    return sum(map(body.count, (b",", b"[", b"{")))


class Tool:
    """One tool with its schemas compiled."""

    def __init__(self, info: ToolInfo) -> None:
        self.info = info
        self.repeat = "safe" if info.read_only or info.idempotent else "unsafe"
        self._input = SchemaChecker(info.input_schema)
        self._output = SchemaChecker(info.output_schema) if info.output_schema else None

    @property
    def checks_output(self) -> bool:
        return self._output is not None

    def check_input(self, body: bytes) -> CallFailure | None:
        """Why `body` is no input for the tool."""
        return self._check(
            self._input, body or b"{}", FailureCode.INVALID_INPUT, "input", repeat="safe"
        )

    def check_output(self, body: bytes) -> CallFailure | None:
        """Why `body` is not what the tool promised."""
        if self._output is None:
            return None
        return self._check(
            self._output, body, FailureCode.INVALID_OUTPUT, "output", repeat=self.repeat
        )

    def _check(
        self, checker: SchemaChecker, body: bytes, code: FailureCode, what: str, *, repeat: str
    ) -> CallFailure | None:
        try:
            _bound(body)
            value = _DECODER.decode(body.decode())
        except (ValueError, RecursionError) as error:
            detail = f"the {what} of tool {self.info.name} is not JSON: {error}"
            return CallFailure(code=code, detail=detail, repeat=repeat)
        if checker.is_valid(value):
            return None
        return CallFailure(
            code=code,
            detail=f"the {what} of tool {self.info.name} does not fit its schema",
            repeat=repeat,
            errors=tuple(f"{path or what}: {message}" for path, message in checker.problems(value)),
        )


class ToolBox:
    """Tools by name."""

    def __init__(self, tools: Iterable[ToolInfo]) -> None:
        self._tools = {info.name: Tool(info) for info in tools}

    def find(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def unknown(self, name: str) -> CallFailure:
        known = ", ".join(sorted(self._tools)) or "none"
        return CallFailure(
            code=FailureCode.UNKNOWN_TOOL,
            detail=f"found tool {name!r}, expected one of {known}",
            repeat="safe",
        )


class OutputCheck:
    """A sink that holds a tool's answer back until it was checked; errors pass as they come."""

    def __init__(self, tool: Tool, sink: Sink) -> None:
        self._tool = tool
        self._sink = sink
        self._head: tuple[int, str] = (0, "")
        self._body = bytearray()

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None:
        self._head = (status, content_type)

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk

    def on_end(self) -> CallFailure | None:
        status, content_type = self._head
        body = bytes(self._body)
        failure = self._tool.check_output(body) if status < 300 else None  # noqa: PLR2004 - success
        if failure is not None:
            self._sink.on_failure(failure)
            return failure
        self._sink.on_head(status, content_type, len(body))
        if body:
            self._sink.on_body(body)
        return self._sink.on_end()

    def on_failure(self, failure: CallFailure) -> None:
        self._sink.on_failure(failure)

    def on_request_flow(self, *, paused: bool) -> None:
        self._sink.on_request_flow(paused=paused)
