"""A plugin's words on the operator's terminal: shown, and never obeyed."""

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House
from tests.support.hostile_house import LIAR, TALKER
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, on_gvisor_too]

# Clear the screen, set the title, ask for an answer to be typed, a link, eight-bit controls,
# letters from right to left, back over what stands there.
EVIL = "\x1b[2J\x1b]0;owned\x07\x1b[6n\x1b]8;;http://x\x1b\\\x9b31m\x90q\x9c\u202eold\r\x08\x7f"
WORD = "innocent"
HEAD = "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
OURS = ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[37m")
"""Colours of our own."""


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/problem+json"])
def test_an_answer_drives_no_terminal(house: House, kind: str, status: int) -> None:
    for text in (WORD + EVIL, f'{{"detail": "{WORD}{EVIL}", "code": "{EVIL}"}}'):
        body = text.encode().decode("latin-1")
        head = HEAD.format(status=status, kind=kind, size=len(body))
        shown = _on_a_terminal(house, "call", LIAR, _call([head + body]))

        assert WORD in shown or status != 200
        assert _acts(shown) == []


def test_logs_reports_events_and_refusals_drive_no_terminal(house: House) -> None:
    raw = EVIL.encode().decode("latin-1")
    report = '{"state": "degraded", "detail": "innocent' + _escaped() + '"}'
    house.do(LIAR, "shout", text=WORD + raw)
    house.do(TALKER, "talk", path="egress.sock", requests=[f"{raw} / HTTP/1.1\r\n\r\n"], seconds=1)
    house.do(
        LIAR,
        "lie",
        path="/v1/status",
        answers=[HEAD.format(status=200, kind="application/json", size=len(report)) + report] * 60,
    )
    eventually(lambda: (house.status(LIAR)["report"] or {}).get("state") == "degraded")
    commands = (
        ("logs", LIAR),
        ("status", LIAR),
        ("ps",),
        ("audit",),
        ("audit", "--json"),
        ("explain", LIAR),
    )
    with house.unharmed():
        shown = {words: _on_a_terminal(house, *words) for words in commands}
    house.do(LIAR, "lie", path="/v1/status", answers=[])

    assert WORD in shown["logs", LIAR]
    assert WORD in shown["status", LIAR]
    assert {words: _acts(text) for words, text in shown.items() if _acts(text)} == {}


def _call(pieces: list[str]) -> str:
    return json.dumps({"do": "answer", "pieces": pieces})


def _escaped() -> str:
    return "".join(f"\\u{ord(c):04x}" for c in EVIL)


def _on_a_terminal(house: House, *arguments: str) -> str:
    """What a terminal would be sent."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**house.instance.environment(), "TERM": "xterm"},
        cwd=house.instance.folder,
    )
    os.close(theirs)
    got = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 65_536):
            got += piece
    os.close(ours)
    done.wait(timeout=60)
    return got.decode()


def _acts(shown: str) -> list[str]:
    """Characters that a terminal acts on, beside our own colours and the ends of lines."""
    for ours in (*OURS, "\r\n"):
        shown = shown.replace(ours, "")
    return [c for c in shown if not c.isprintable() and c not in "\n\t"]
