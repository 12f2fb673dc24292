"""Runs a program of the host with a deadline, and keeps what it said as evidence."""

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

EVIDENCE_LINES = 20
MAX_LINE = 2_000
_CHUNK = 1 << 16
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a program ended; `exit_code` None means that it was killed at its deadline."""

    exit_code: int | None
    last_stdout_line: str
    last_lines: tuple[str, ...]


def clean_line(text: str) -> str:
    """One line fit for a terminal: what a stranger prints must not steer it."""
    return _CONTROL.sub("", text.expandtabs(4)).rstrip()[:MAX_LINE]


async def run_command(
    argv: Sequence[str], *, folder: Path, timeout_seconds: float, on_line: Callable[[str], None]
) -> CommandResult:
    """Runs it in a session of its own, so that the deadline ends its children as well.

    Raises FileNotFoundError or PermissionError when there is no such program.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    lines: deque[str] = deque(maxlen=EVIDENCE_LINES)
    last: deque[str] = deque([""], maxlen=1)

    def said(line: str) -> None:
        lines.append(line)
        on_line(line)

    def answered(line: str) -> None:
        last.append(line)
        said(line)

    exit_code: int | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            async with asyncio.TaskGroup() as group:
                group.create_task(_lines(process.stdout, answered))
                group.create_task(_lines(process.stderr, said))
            exit_code = await process.wait()
    except TimeoutError:
        lines.append(f"stopped after {timeout_seconds:g} s")
    finally:
        if exit_code is None:
            await _end(process)
    return CommandResult(exit_code=exit_code, last_stdout_line=last[0], last_lines=tuple(lines))


async def _lines(stream: asyncio.StreamReader | None, said: Callable[[str], None]) -> None:
    if stream is None:  # pragma: no cover - both are pipes
        return
    rest = ""
    while chunk := await stream.read(_CHUNK):
        *whole, rest = (rest + chunk.decode(errors="replace")).replace("\r", "\n").split("\n")
        for line in whole:
            if cleaned := clean_line(line):
                said(cleaned)
        rest = rest[-MAX_LINE:]
    if cleaned := clean_line(rest):
        said(cleaned)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the whole session, and reap the program."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
