"""What may mend a failure: every reason has its words, and the last lines have theirs."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.manager.repairs import _BY_REASON, Failure, hints, repairs
from orchestrator.model.limits import ResourceLimits
from tests.unit.pages import table

PLAIN = Failure(
    plugin_id="notes",
    reason="exit_code_1",
    lines=(),
    manifest="/manifests/notes.yaml",
    limits=ResourceLimits(max_memory_mb=64),
    ceilings=ResourceLimits(max_memory_mb=512),
    start_deadline_seconds=30,
)


def of(reason: str, *lines: str, **more: Any) -> Failure:
    return replace(PLAIN, reason=reason, lines=lines, **more)


def test_every_documented_reason_has_words_of_its_own() -> None:
    rows = table("docs/errors.md", "Why a plugin failed", first="reason")
    reasons = {row[0] for row in rows} - {"exit_code_N"}

    assert {r for r in reasons if "docs/errors.md" in repairs(of(r))[0]} == set()


@pytest.mark.parametrize("reason", _BY_REASON)
def test_words_are_whole_whatever_the_reason(reason: str) -> None:
    for text in repairs(of(reason)):
        assert text
        assert "{" not in text


def test_a_reason_without_words_leads_to_its_explanation() -> None:
    assert repairs(of("runtime_missing")) == ("runtime_missing: see docs/errors.md",)


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (None, "from 64 to 128, say; `plan` admits up to 512 (policy.ceilings.max_memory_mb)"),
        (4_000, "from 64 to 128, say; `plan` admits up to 512 (policy.ceilings.max_memory_mb)"),
        (
            100,
            (
                "from 64 to 100, say; `plan` admits up to 100 "
                "(the host's memory beside the other plugins)"
            ),
        ),
    ],
)
def test_more_memory_is_advised_up_to_what_would_be_admitted(room: int | None, words: str) -> None:
    [first, *_] = repairs(of("oom_killed", memory_room_mb=room))

    assert first == f"raise spec.limits.max_memory_mb in /manifests/notes.yaml {words}"


def test_no_more_memory_is_advised_than_there_is() -> None:
    at_ceiling = repairs(of("oom_killed", ceilings=ResourceLimits(max_memory_mb=64)))
    no_room = repairs(of("oom_killed", memory_room_mb=10))

    assert "its limit of 64 MiB is all that policy.ceilings.max_memory_mb leaves" in at_ceiling[0]
    assert "is all that the host's memory beside the other plugins leaves" in no_room[0]


def test_a_deadline_names_the_limits_that_bear_on_it() -> None:
    text = " ".join(repairs(of("start_deadline")))

    assert "policy.lifecycle.start_deadline_seconds from 30" in text
    assert "max_cpu_percent from 10" in text


@pytest.mark.parametrize(
    ("code", "word"), [(0, "ends"), (126, "executed"), (127, "in the image"), (137, "signal 9")]
)
def test_exit_codes_with_a_meaning_are_explained_before_the_log_is_named(
    code: int, word: str
) -> None:
    first, log = repairs(of(f"exit_code_{code}"))

    assert word in first
    assert log == "read all that it wrote: `orchestrator logs notes`"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "ModuleNotFoundError: No module named 'numpy'",
            "perhaps: add numpy to its requirements.lock, or mend its entry_point",
        ),
        ("exec /plugin/x: exec format error", "perhaps: build its program for this processor"),
        ("OSError: [Errno 30] Read-only file system: '/x'", "perhaps: let it write to /tmp"),
        ("OSError: [Errno 28] No space left on device", "perhaps: raise spec.limits.max_disk_mb"),
        ("OSError: [Errno 101] Network is unreachable", "perhaps: grant external_api"),
        ("MemoryError", "perhaps: raise spec.limits.max_memory_mb"),
        ("RuntimeError: can't start new thread", "perhaps: raise policy.container.pids_limit"),
        ("OSError: [Errno 24] Too many open files", "perhaps: raise policy.container.open_files"),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/run/secrets/token'",
            "perhaps: give it the secret token in spec.secrets",
        ),
    ],
)
def test_a_last_line_that_is_well_known_leads_to_a_guess(line: str, hint: str) -> None:
    assert hints(of("exit_code_1", "Traceback (most recent call last):", line, ""))[-1].startswith(
        hint
    )


def test_the_last_exception_is_quoted_and_the_last_known_line_counts() -> None:
    found = hints(of("exit_code_1", "ValueError: first", "KeyError: 'second'", "bye"))

    assert found == ("it says: KeyError: 'second'",)


def test_lines_tell_nothing_of_a_kill_for_memory() -> None:
    assert hints(of("oom_killed", "MemoryError")) == ()


@pytest.mark.parametrize("line", ["", "{0}", "%s {x!r}", "Error", "a" * 100_000, "\ud800Error:"])
def test_no_line_of_a_strangers_breaks_it(line: str) -> None:
    hints(of("exit_code_1", line, f"ModuleNotFoundError: No module named '{line}'"))
