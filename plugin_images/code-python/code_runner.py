"""CodeRunner: takes one piece of code, has it run in a child process, and tells how that ended.

The child is what the handed-in code can break. The process that talks to the orchestrator only
moves bytes: it bounds what it keeps, never parses what the child sends, and holds the deadline.
"""

import os
import selectors
import signal
import time
from contextlib import suppress
from typing import Any, NamedTuple

from code_child import run_and_exit
from orchestrator_sdk import InputError, PluginError, PluginInterface

_PIPE_BYTES = 65_536
_TICK_SECONDS = 0.02
"""How late the end of a child is seen whose pipes its own children still hold open."""
_LINE_BYTES = 64
"""For the line before the result. A reason is shorter than any sensible bound on results."""
_ENDINGS = frozenset({"ok", "exception", "exited", "result_not_json"})
"""What a child may say of itself (code_child.py)."""


class Job(NamedTuple):
    """What is asked, checked."""

    code: str
    context: Any
    timeout_seconds: float
    max_output_bytes: int
    max_result_bytes: int


class Gatherer:
    """One pipe of the child; keeps its first bytes and reads on, so that nobody blocks on it."""

    def __init__(self, most: int) -> None:
        self._readable, self.writable = os.pipe()
        os.set_blocking(self._readable, False)
        self._most = most
        self.kept = bytearray()
        self.truncated = self.ended = False

    def fileno(self) -> int:
        return self._readable

    def read(self) -> bool:
        """Take what is there; whether more may come."""
        try:
            piece = os.read(self._readable, _PIPE_BYTES)
        except BlockingIOError:
            return True
        space = self._most - len(self.kept)
        self.kept += piece[:space]
        self.truncated = self.truncated or len(piece) > space
        self.ended = not piece
        return not self.ended

    def drain(self) -> None:
        """Take what the child left in the pipe; what its children still write is not waited for."""
        for _ in range(self._most // _PIPE_BYTES + 2):
            before = len(self.kept)
            if not self.read() or len(self.kept) == before:
                return

    def text(self) -> str:
        return self.kept.decode("utf-8", "replace")


class CodeRunner(PluginInterface):
    """Single use: the second call is refused, whatever became of the first."""

    def __init__(self) -> None:
        self._used = False

    def execute(self, input_data: Any) -> dict[str, Any]:
        job = _job(input_data)
        if self._used:
            raise PluginError("the sandbox was used already", 409, code="sandbox_used")
        self._used = True
        return _Run(job).to_the_end()


def _job(data: Any) -> Job:
    if not isinstance(data, dict):
        raise InputError(f"{type(data).__name__} found, a JSON object expected")
    try:
        job = Job(**data)
    except TypeError as error:
        raise InputError(f"a job expected: {error}") from error
    if not isinstance(job.code, str):
        raise InputError(f"code: {type(job.code).__name__} found, a string expected")
    return job


class _Run:
    """One child, from fork to end."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._until = time.monotonic() + job.timeout_seconds
        self._out = Gatherer(job.max_output_bytes)
        self._err = Gatherer(job.max_output_bytes)
        self._told = Gatherer(job.max_result_bytes + _LINE_BYTES)
        self._status: int | None = None
        """As waitpid tells it, once the child has ended."""

    def to_the_end(self) -> dict[str, Any]:
        pipes = (self._out, self._err, self._told)
        self._child = os.fork()
        if self._child == 0:
            run_and_exit(self._job.code, self._job.context, *(pipe.writable for pipe in pipes))
        for pipe in pipes:
            os.close(pipe.writable)
        in_time = self._gather()
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        self._out.drain()
        self._err.drain()
        return {**(self._ending() if in_time else _TOO_LATE), **self._output()}

    def _gather(self) -> bool:
        """Until the child has told its end, or has ended; False when its time was over first."""
        with selectors.DefaultSelector() as selector:
            for pipe in (self._out, self._err, self._told):
                selector.register(pipe, selectors.EVENT_READ)
            while time.monotonic() < self._until:
                for key, _ in selector.select(self._tick(selector)):
                    pipe = key.fileobj
                    if not pipe.read():  # type: ignore[union-attr]
                        selector.unregister(pipe)
                if self._over():
                    return True
        return False

    def _tick(self, selector: selectors.BaseSelector) -> float:
        # Without the third pipe only waitpid can tell the end: look often, it is near.
        waits = _TICK_SECONDS if len(selector.get_map()) else _TICK_SECONDS / 10
        return max(0.0, min(waits, self._until - time.monotonic()))

    def _over(self) -> bool:
        if self._told.ended and self._told.kept:
            return True
        ended, status = os.waitpid(self._child, os.WNOHANG)
        if ended:
            self._status = status
            self._told.drain()
        return bool(ended)

    def _ending(self) -> dict[str, Any]:
        kind, _, payload = bytes(self._told.kept).partition(b"\n")
        if self._told.truncated or len(payload) > self._job.max_result_bytes:
            detail = f"the result is larger than {self._job.max_result_bytes} bytes of JSON"
            return {"reason": "result_too_large", "detail": detail}
        reason, text = kind.decode("ascii", "replace"), payload.decode("utf-8", "replace")
        if reason == "ok":
            return {"reason": "ok", "result_json": text}
        if reason in _ENDINGS:
            return {"reason": reason, "detail": text}
        return self._silent_end()

    def _silent_end(self) -> dict[str, Any]:
        """It ended without a word: os._exit, or a signal."""
        if self._status is None:
            return {"reason": "exited", "detail": "the code ended without a result"}
        code = os.waitstatus_to_exitcode(self._status)
        if code < 0:
            return {"reason": "killed", "detail": f"signal {-code}"}
        return {"reason": "exited", "detail": f"exit code {code}"}

    def _output(self) -> dict[str, Any]:
        return {
            "stdout": self._out.text(),
            "stderr": self._err.text(),
            "stdout_truncated": self._out.truncated,
            "stderr_truncated": self._err.truncated,
        }


_TOO_LATE = {"reason": "deadline_exceeded", "detail": ""}
