"""The child process: the handed-in code in a module of its own, its value as JSON, and the end.

Nothing here is kept from the code: it may change every object of this process. So the parent
believes nothing but the bytes of one pipe, and those only as the code's own word about itself.
"""

import ast
import contextvars
import json
import linecache
import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from types import CodeType, ModuleType
from typing import Any, NoReturn

CODE_NAME = "<code>"
_MAX_DETAIL_CHARACTERS = 32_768
_DEFAULT_RECURSION = 1_000


class ResultNotJson(Exception):
    """The code's result is something that JSON cannot say."""


def run_and_exit(code: str, context: Any, out: int, err: int, told: int) -> NoReturn:
    """In the forked child; `told` takes one line of how it ended, then the result or the reason."""
    try:
        told = _settle(out, err, told)
        # A context of its own: none of the variables of the call that the parent serves.
        ending, text = contextvars.Context().run(_run, code, context)
        _flush()
        _write_all(told, f"{ending}\n{text}".encode(errors="backslashreplace"))
    finally:
        # Threads, exit handlers and whatever else the code left behind end here.
        os._exit(0)


def _settle(out: int, err: int, told: int) -> int:
    """Nothing of the parent stays open: not its connections, above all. The new `told`."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - pathlib costs more than the write
        file.write("1000")  # the parent must outlive it, to tell what happened
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    # First above all numbers that are about to be overwritten.
    for target, source in enumerate([_above(fd) for fd in (nothing, out, err, told)]):
        os.dup2(source, target, inheritable=target < 3)  # noqa: PLR2004 - stdin, stdout, stderr
    os.closerange(4, 65_536)
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    sys.setrecursionlimit(_DEFAULT_RECURSION)
    sys.argv = [CODE_NAME]
    return 3


def _above(fd: int) -> int:
    copy = os.dup(fd)
    return copy if copy > 3 else _above(copy)  # noqa: PLR2004 - as above


def _run(code: str, context: Any) -> tuple[str, str]:
    """(How it ended, the result as JSON or the reason)."""
    try:
        return "ok", _json(_value(code, context))
    except ResultNotJson as error:
        return "result_not_json", str(error)[:_MAX_DETAIL_CHARACTERS]
    except SystemExit as error:
        return _exited(error)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises
        return "exception", _traceback(error)


def _value(code: str, context: Any) -> Any:
    """The variable `result`, or the value of the last expression, or None."""
    body, last = _compiled(code)
    module = ModuleType("__main__")
    module.__dict__.update(context=context, __builtins__=__builtins__)
    sys.modules["__main__"] = module  # where pickle and dataclasses look a class up
    try:
        exec(body, module.__dict__)  # noqa: S102 - what this image is for
        value = eval(last, module.__dict__) if last is not None else None  # noqa: S307
    except SystemExit as error:
        if error.code in {None, 0}:
            return module.__dict__.get("result")
        raise
    return module.__dict__.get("result", value)


def _compiled(code: str) -> tuple[CodeType, CodeType | None]:
    # With its lines at hand a traceback shows them; there is no file to read them from.
    lines = code.splitlines(keepends=True)
    linecache.cache[CODE_NAME] = (len(code), None, lines, CODE_NAME)
    tree = ast.parse(code, CODE_NAME)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return compile(tree, CODE_NAME, "exec", dont_inherit=True), None
    tree.body.pop()
    expression = ast.Expression(last.value)
    return (
        compile(tree, CODE_NAME, "exec", dont_inherit=True),
        compile(expression, CODE_NAME, "eval", dont_inherit=True),
    )


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(f"the result is not JSON: {error}") from error


def _exited(error: SystemExit) -> tuple[str, str]:
    if isinstance(error.code, int):
        return "exited", f"exit code {error.code}"
    with suppress(Exception):
        sys.stderr.write(f"{error.code}\n")  # as Python does
    return "exited", "exit code 1"


def _traceback(error: BaseException) -> str:
    """The code's own frames: what lies above them is this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != CODE_NAME:
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # noqa: BLE001 - an exception's own words may raise, too
        text = type(error).__name__
    return text[-_MAX_DETAIL_CHARACTERS:]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
