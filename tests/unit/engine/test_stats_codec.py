"""The engine's statistics put together, however the network cut them, and read as they come."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.stats_codec import (
    MAX_LINE_BYTES,
    decode_line,
    decode_usage,
    whole_lines,
)
from orchestrator.engine.usage import Usage

RUNNING: dict[str, Any] = {
    "memory_stats": {"usage": 9_000_000, "stats": {"inactive_file": 1_000_000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000}, "throttling_data": {"periods": 1}},
    "pids_stats": {"current": 2},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=5,
)


def test_the_engines_statistics_say_the_same() -> None:
    stats = {
        "memory_stats": {
            "usage": 9_000_000,
            "stats": {"total_inactive_file": 500_000, "inactive_file": 1},
        },
        "cpu_stats": {
            "cpu_usage": {"total_usage": 2_500_000_000},
            "throttling_data": {
                "periods": 64,
                "throttled_periods": 3,
                "throttled_time": 250_000_000,
            },
        },
        "pids_stats": {"current": 8},
    }

    assert decode_usage(stats) == Usage(
        memory_bytes=8_500_000,
        cpu_seconds=2.5,
        throttled_seconds=0.25,
        throttled_periods=3,
        periods=64,
        pids=8,
    )


def test_the_engines_statistics_of_version_2_have_other_names() -> None:
    stats = {"memory_stats": {"usage": 10, "stats": {"inactive_file": 4}}}
    usage = decode_usage(stats)

    assert usage is not None
    assert usage.memory_bytes == 6


@pytest.mark.parametrize("stats", [{}, {"memory_stats": {}}, {"memory_stats": None}])
def test_a_container_that_does_not_run_has_no_statistics(stats: dict[str, object]) -> None:
    assert decode_usage(stats) is None


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("memory_stats", "usage"), "much", "usage: expected a count, found 'much'"),
        (("memory_stats", "usage"), -1, "usage: expected a count, found -1"),
        (("memory_stats", "usage"), 1 << 64, "usage: expected a count"),
        (("memory_stats", "usage"), True, "usage: expected a count, found True"),
        (("memory_stats", "usage"), 1.5, "usage: expected a count, found 1.5"),
        (("memory_stats", "stats"), [], "stats: expected an object, found list"),
        (
            ("cpu_stats", "cpu_usage", "total_usage"),
            {},
            "total_usage: expected a count, found dict",
        ),
        (("cpu_stats",), 3, "cpu_stats: expected an object, found 3"),
        (("pids_stats", "current"), 10**400, "current: expected a count"),
    ],
)
def test_what_is_of_another_shape_is_told_by_its_name(
    path: tuple[str, ...], value: object, told: str
) -> None:
    stats = json.loads(json.dumps(RUNNING))
    *above, last = path
    inside = stats
    for name in above:
        inside = inside[name]
    inside[last] = value

    with pytest.raises(ValueError, match=told) as caught:
        decode_usage(stats)
    assert len(str(caught.value)) < 200


@given(where=st.sampled_from([*RUNNING, "other"]), what=JSON)
def test_whatever_it_says_is_usage_or_told_as_wrong(where: str, what: object) -> None:
    line = json.dumps({**RUNNING, where: what}).encode()
    try:
        found = decode_line(line)
    except ValueError:
        return

    assert found is None or isinstance(found, Usage)


@pytest.mark.parametrize(
    "line",
    [b"", b"nonsense", b"[1]", b"\xff\xfe\x00", b'{"a": ' + b"9" * 5_000 + b"}"],
    ids=["empty", "words", "list", "no text", "endless number"],
)
def test_a_line_of_anything_else_is_wrong(line: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode_line(line)


def test_a_line_nested_beyond_all_bounds_is_wrong() -> None:
    with pytest.raises(ValueError, match="nested"):
        decode_line(b"[" * 100_000 + b"]" * 100_000)


@given(
    cuts=st.lists(st.integers(0, 60), max_size=6),
    lines=st.lists(st.sampled_from([b"{}", b"[1, 2]", b"a"]), max_size=6),
)
def test_cuts_change_nothing(cuts: list[int], lines: list[bytes]) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    ends = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    pieces = [whole[begin:end] for begin, end in itertools.pairwise(ends)]

    assert list(whole_lines(pieces)) == lines


def test_blank_lines_and_a_last_one_without_end_are_none() -> None:
    assert list(whole_lines([b"\n \r\n{}\n\n", b"{"])) == [b"{}"]


def test_a_line_may_be_long_and_no_longer() -> None:
    longest = b"x" * MAX_LINE_BYTES

    assert list(whole_lines([longest[:-9], longest[-9:] + b"\n"])) == [longest]
    with pytest.raises(ValueError, match=f"at most {MAX_LINE_BYTES} bytes"):
        list(whole_lines([longest + b"x\n"]))


def test_a_line_without_end_is_given_up_when_it_is_too_long() -> None:
    taken = 0

    def flood() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1_024

    with pytest.raises(ValueError, match="longer"):
        list(whole_lines(flood()))
    assert taken == MAX_LINE_BYTES // 1_024 + 1
