"""Puts the plugin's folder and the SDK on the import path, and runs code as the host would."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PLUGIN = Path(__file__).parents[1]
# A process of its own for every run, as in the container: the runner forks, and the test runner
# has threads.
_DRIVER = """\
import json, sys
sys.path[:0] = {folders!r}
from code_runner import CodeRunner
runner = CodeRunner()
for job in json.load(sys.stdin):
    try:
        answer = runner.execute(job)
    except Exception as error:
        answer = {{"error": str(error)}}
    print(json.dumps(answer))
"""


@pytest.fixture
def run_all() -> Callable[..., list[dict[str, Any]]]:
    """Jobs one after the other in the same runner."""
    driver = _DRIVER.format(folders=[str(_PLUGIN), str(_PLUGIN.parent / "sdk")])

    def _run_all(*jobs: dict[str, Any]) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-c", driver],
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    return _run_all


@pytest.fixture
def run(run_all: Callable[..., list[dict[str, Any]]]) -> Callable[..., dict[str, Any]]:
    """One job; keywords replace the plain values."""

    def _run(code: str, **fields: Any) -> dict[str, Any]:
        plain = {
            "code": code,
            "context": None,
            "timeout_seconds": 5,
            "max_output_bytes": 1_000_000,
            "max_result_bytes": 1_000_000,
        }
        [answer] = run_all(plain | fields)
        if "result_json" in answer:
            answer["result"] = json.loads(answer["result_json"])
        return answer

    return _run
