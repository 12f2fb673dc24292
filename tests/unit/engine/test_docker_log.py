"""Docker's log frames put together, however the network cut them."""

import itertools
import struct
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.docker_stream import MAX_LINE_BYTES, _since, parse_log

STAMP = b"2024-05-01T10:00:00.123456789Z"


def frame(stream: int, text: bytes, stamp: bytes = STAMP) -> bytes:
    payload = stamp + b" " + text
    return struct.pack(">BxxxL", stream, len(payload)) + payload


def lines(*chunks: bytes) -> list[tuple[str, str]]:
    return [(line.stream, line.text) for _, line in parse_log(chunks)]


def test_a_line_keeps_its_stream_and_its_time_to_the_nanosecond() -> None:
    [(at, line)] = parse_log([frame(2, b"hello\n")])

    assert (line.stream, line.text) == ("stderr", "hello")
    assert at % 10**9 == 123_456_789
    assert abs(line.at - at / 1e9) < 1e-6


@given(cuts=st.lists(st.integers(0, 200), max_size=6), texts=st.lists(st.sampled_from("abc")))
def test_cuts_change_nothing(cuts: list[int], texts: list[str]) -> None:
    whole = b"".join(frame(1, f"{text}\n".encode()) for text in texts)
    ends = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    pieces = [whole[begin:end] for begin, end in itertools.pairwise(ends)]

    assert lines(*pieces) == [("stdout", text) for text in texts]


def test_pieces_of_one_line_are_joined_though_the_other_stream_comes_between() -> None:
    found = lines(frame(1, b"one "), frame(2, b"other\n"), frame(1, b"line\n"))

    assert found == [("stderr", "other"), ("stdout", "one line")]


def test_a_line_is_cut_after_16_kib_over_all_its_pieces() -> None:
    piece = b"x" * 10_000
    found = lines(frame(1, piece), frame(1, piece), frame(1, b"y\n"), frame(1, b"next\n"))

    assert found == [("stdout", "x" * MAX_LINE_BYTES), ("stdout", "next")]


def test_a_last_line_without_its_end_is_told_all_the_same() -> None:
    assert lines(frame(1, b"half")) == [("stdout", "half")]


def test_bytes_that_are_no_text_do_not_end_the_log() -> None:
    assert lines(frame(1, b"a\xffb\n"), frame(1, b"\n")) == [("stdout", "a\ufffdb"), ("stdout", "")]


def test_lines_come_while_the_rest_is_still_on_its_way() -> None:
    def chunks() -> Iterator[bytes]:
        yield frame(1, b"first\n")
        raise AssertionError

    assert next(parse_log(chunks()))[1].text == "first"


@given(nanoseconds=st.integers(0, 4_000_000_000 * 10**9))
def test_what_was_seen_at_a_moment_is_within_what_is_asked_from_that_moment_on(
    nanoseconds: int,
) -> None:
    seconds, _, decimals = _since(nanoseconds / 1e9).partition(".")
    asked = int(seconds) * 10**9 + int(decimals.ljust(9, "0"))

    assert nanoseconds - 3_000 < asked <= nanoseconds
