import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.command import CommandResult, clean_line, run_command


async def _run(script: str, folder: Path, timeout_seconds: float = 20) -> CommandResult:
    return await run_command(
        ("sh", "-c", script),
        folder=folder,
        timeout_seconds=timeout_seconds,
        on_line=lambda _: None,
    )


async def test_the_answer_is_the_last_line_of_stdout(tmp_path: Path) -> None:
    result = await _run("echo a; echo 3.11; echo done >&2; exit 7", tmp_path)

    assert (result.exit_code, result.last_stdout_line) == (7, "3.11")
    assert sorted(result.last_lines) == ["3.11", "a", "done"]


async def test_only_the_last_lines_are_kept(tmp_path: Path) -> None:
    result = await _run("seq 1 5000", tmp_path)

    assert result.last_lines == tuple(str(number) for number in range(4981, 5001))


async def test_an_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    result = await _run("head -c 5000000 /dev/zero | tr '\\0' x; printf end", tmp_path)

    assert len(result.last_stdout_line) <= 2_000
    assert result.last_stdout_line.endswith("end")


async def test_the_deadline_ends_the_children_too(tmp_path: Path) -> None:
    started = time.monotonic()
    result = await _run("sleep 60 & echo $!; wait", tmp_path, timeout_seconds=0.5)

    assert time.monotonic() - started < 20
    await asyncio.to_thread(_until_gone, result.last_stdout_line)

    assert result.exit_code is None
    assert result.last_lines[-1] == "stopped after 0.5 s"


def _until_gone(pid: str) -> None:
    """Gone or a zombie: who reaps an orphan, and when, is the system's business."""
    for _ in range(500):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
                continue
        return
    pytest.fail(f"process {pid} still runs")


async def test_a_cancelled_caller_leaves_nothing_running(tmp_path: Path) -> None:
    script = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await run_command(
                (sys.executable, "-c", script),
                folder=tmp_path,
                timeout_seconds=60,
                on_line=lambda _: None,
            )

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_it_reads_nothing_from_the_terminal(tmp_path: Path) -> None:
    assert (await _run("cat", tmp_path)).exit_code == 0


@given(st.text())
def test_a_cleaned_line_steers_no_terminal(text: str) -> None:
    controls = {*range(32), *range(0x7F, 0xA0)} - {ord("\n")}

    assert controls.isdisjoint(map(ord, clean_line(text)))


def test_colours_are_taken_out_whole() -> None:
    assert clean_line("\x1b[1;31mred\x1b[0m\x07 \x1b]0;title\x07end") == "red ]0;titleend"
