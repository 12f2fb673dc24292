"""The runner: what code gets, what comes back of it, and how little it can break."""

import time
from collections.abc import Callable
from typing import Any

import pytest

DATACLASS = """
from dataclasses import asdict, dataclass
@dataclass
class A:
    b: "int" = 1
asdict(A())
"""
Run = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("1 + 1", 2),
        ("x = 20\nx + 2", 22),
        ("result = 'chosen'\n5", "chosen"),
        ("result = None\n5", None),
        ("x = 1", None),
        ("", None),
        ("context['a'] * 2", 14),
        ("import sys\nresult = 3\nsys.exit()", 3),
        ("'\\ud800'", "\ud800"),
        ("__name__", "__main__"),
        (DATACLASS, {"b": 1}),
        ("import sys\nsys.stdin.read()", ""),
        ("def f(n):\n  return n and f(n - 1)\nf(500)", 0),
    ],
)
def test_the_result_is_the_variable_or_the_last_expression(
    run: Run, code: str, result: Any
) -> None:
    answer = run(code, context={"a": 7})

    assert (answer["reason"], answer.get("result")) == ("ok", result)


@pytest.mark.parametrize(
    ("code", "reason", "detail"),
    [
        ("import sys; sys.exit(3)", "exited", "exit code 3"),
        ("import sys; sys.exit('bye')", "exited", "exit code 1"),
        ("import os; os._exit(4)", "exited", "exit code 4"),
        ("import os; os._exit(0)", "exited", "exit code 0"),
        ("import os; os.kill(os.getpid(), 9)", "killed", "signal 9"),
        ("object()", "result_not_json", "the result is not JSON: Object of type object"),
        ("float('nan')", "result_not_json", "the result is not JSON: Out of range"),
        ("a = []\na.append(a)\na", "result_not_json", "the result is not JSON: Circular"),
        ("while True: pass", "deadline_exceeded", ""),
        ("import os\nos.closerange(0, 100)\nwhile True: pass", "deadline_exceeded", ""),
        ("'x' * 2_000_000", "result_too_large", "the result is larger than 1000000 bytes"),
        ("'x' * 1_000_000", "result_too_large", "the result is larger than 1000000 bytes"),
        ("import os\nos.write(3, b'forged\\n')\nos._exit(0)", "exited", ""),
        ("import os\nos.write(3, b'\\xff' * 3_000_000)", "result_too_large", ""),
    ],
)
def test_every_other_end_has_its_reason(run: Run, code: str, reason: str, detail: str) -> None:
    answer = run(code, timeout_seconds=1)

    assert answer["reason"] == reason
    assert answer["detail"].startswith(detail)


def test_a_traceback_shows_the_codes_own_lines_and_nothing_of_the_runner(run: Run) -> None:
    answer = run("def f():\n    raise ValueError('mine')\nf()")

    assert answer["reason"] == "exception"
    assert answer["detail"] == (
        "Traceback (most recent call last):\n"
        '  File "<code>", line 3, in <module>\n'
        "    f()\n"
        '  File "<code>", line 2, in f\n'
        "    raise ValueError('mine')\n"
        "ValueError: mine\n"
    )


@pytest.mark.parametrize("code", ["def", "(" * 5_000, "x = '", "\x00"])
def test_code_that_does_not_parse_is_an_exception_of_its_own(run: Run, code: str) -> None:
    answer = run(code)

    assert answer["reason"] == "exception"
    assert "code_child" not in answer["detail"]


def test_an_exception_whose_words_raise_is_told_by_its_type(run: Run) -> None:
    answer = run("class E(Exception):\n  def __str__(self): raise SystemExit\nraise E")

    assert answer["reason"] == "exception"
    assert "E" in answer["detail"]


def test_output_comes_back_from_every_way_of_writing_it(run: Run) -> None:
    answer = run(
        "import os, sys, subprocess\n"
        "print('one')\nos.write(1, b'two\\n')\nsys.stdout.write('three\\n')\n"
        "subprocess.run(['echo', 'four'])\nprint('err', file=sys.stderr)"
    )

    assert sorted(answer["stdout"].split()) == ["four", "one", "three", "two"]
    assert answer["stderr"] == "err\n"
    assert not answer["stdout_truncated"]


def test_output_beyond_the_bound_is_cut_and_marked_and_does_not_stop_the_code(run: Run) -> None:
    answer = run("for _ in range(5_000): print('x' * 999)\n'done'", max_output_bytes=100_000)

    assert answer["result"] == "done"
    assert len(answer["stdout"]) == 100_000
    assert answer["stdout_truncated"]
    assert not answer["stderr_truncated"]


def test_output_before_a_crash_or_a_deadline_is_kept(run: Run) -> None:
    crash = run("import os\nprint('seen', flush=True)\nos._exit(1)")
    late = run("print('seen', flush=True)\nwhile True: pass", timeout_seconds=0.5)

    assert (crash["stdout"], late["stdout"]) == ("seen\n", "seen\n")


def test_what_code_leaves_running_is_not_waited_for(run: Run) -> None:
    started = time.monotonic()
    thread = run(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(20,)).start()\n1"
    )
    child = run("import os, time\nif os.fork() == 0: time.sleep(20); os._exit(0)\n2")
    daemon = run(
        "import os\nif os.fork() == 0:\n  os.setsid()\n  while True: os.write(1, b'x' * 4096)\n3"
    )

    assert [answer["result"] for answer in (thread, child, daemon)] == [1, 2, 3]
    assert time.monotonic() - started < 5


def test_a_runner_is_used_once(
    run_all: Callable[..., list[dict[str, Any]]],
) -> None:
    job = {
        "code": "1",
        "context": None,
        "timeout_seconds": 5,
        "max_output_bytes": 100,
        "max_result_bytes": 100,
    }
    first, second = run_all(job, job)

    assert first["reason"] == "ok"
    assert second == {"error": "the sandbox was used already"}


@pytest.mark.parametrize("job", [[], {"code": "1"}, {"code": 1, "context": 1}])
def test_a_job_of_another_shape_is_refused(
    run_all: Callable[..., list[dict[str, Any]]], job: Any
) -> None:
    [answer] = run_all(job)

    assert "error" in answer


def test_the_code_holds_nothing_open_but_its_own_pipes(run: Run) -> None:
    answer = run("import os\nsorted(int(n) for n in os.listdir('/proc/self/fd'))")

    # The last one is the folder that is being listed.
    assert answer["result"] == [0, 1, 2, 3, 4]
