"""The engine's statistics in our words: whole lines out of what the network cut, usage out of one.

What it sends is not trusted to be of any shape or size: what does not fit is a ValueError.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from orchestrator.engine.usage import Usage

MAX_LINE_BYTES: Final = 262_144
"""Docker's are 2 to 5 kB, and more with many processors and disks."""
_MOST: Final = 1 << 64
_NANO: Final = 1e-9


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Each line but for blank ones, and no more held than one; a last one without end is none."""
    rest = bytearray()
    for chunk in chunks:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            rest += line
            _check_size(rest)
            if rest.strip():
                yield bytes(rest)
            rest.clear()
        rest += last
        _check_size(rest)


def _check_size(line: bytearray) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"expected lines of at most {MAX_LINE_BYTES} bytes, found a longer one")


def decode_line(line: bytes) -> Usage | None:
    """The usage that a line tells of; None for a container that does not run."""
    try:
        stats = json.loads(line)
    except RecursionError:
        raise ValueError("expected statistics, found JSON nested beyond all bounds") from None
    except ValueError as error:
        raise ValueError(f"expected JSON, found {line[:80]!r}: {error}") from None
    return decode_usage(stats)


def decode_usage(stats: object) -> Usage | None:
    """The same of what was JSON.

    It tells of no disk, and of no OOM kills: `failcnt` counts what was refused, in version 1, or
    how often the limit was met, in version 2.
    """
    stats = _object(stats, "the whole")
    memory, cpu = _table(stats, "memory_stats"), _table(stats, "cpu_stats")
    used = _count(memory, "usage")
    if used is None:
        return None
    details, throttling = _table(memory, "stats"), _table(cpu, "throttling_data")
    cached = _count(details, "total_inactive_file")
    if cached is None:
        cached = _count(details, "inactive_file") or 0
    return Usage(
        memory_bytes=max(0, used - cached),
        cpu_seconds=(_count(_table(cpu, "cpu_usage"), "total_usage") or 0) * _NANO,
        throttled_seconds=(_count(throttling, "throttled_time") or 0) * _NANO,
        throttled_periods=_count(throttling, "throttled_periods"),
        periods=_count(throttling, "periods"),
        pids=_count(_table(stats, "pids_stats"), "current"),
    )


def _table(stats: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = stats.get(name)
    return {} if found is None else _object(found, name)


def _object(found: object, name: str) -> Mapping[str, Any]:
    if isinstance(found, Mapping):
        return found
    raise ValueError(f"{name}: expected an object, found {_shown(found)}")


def _count(stats: Mapping[str, Any], name: str) -> int | None:
    found = stats.get(name)
    if found is None:
        return None
    if type(found) is not int or not 0 <= found < _MOST:
        raise ValueError(f"{name}: expected a count, found {_shown(found)}")
    return found


def _shown(found: object) -> str:
    if isinstance(found, str | int | float):
        return repr(found)[:80]
    return type(found).__name__
