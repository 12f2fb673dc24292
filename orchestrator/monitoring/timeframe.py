"""Timeframes: `15m`, `24h`, `7d`, `30d`; and which rows tell of one. Pure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.store.series import Step

DEFAULT: Final = "24h"
_SHAPE: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_SECONDS: Final = {"m": Step.MINUTE, "h": Step.HOUR, "d": Step.DAY}
_LONGEST_DAYS: Final = 3_660
AT_ONCE: Final = 10
"""Minutes, hours or days that are read at once."""
BY_MINUTE_SECONDS: Final = 6 * Step.HOUR
"""What is longer is told by the hour: there would be too many rows."""
_POINTS: Final = 31
_STEPS: Final = (60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
"""A chart has at most _POINTS points, each of one of these lengths."""


class TimeframeInvalid(OrchestratorError):
    """A timeframe that is none."""

    kind, code = Kind.INVALID, "timeframe_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows of one length whose spans begin within [begin, end)."""

    step: Step
    begin: int
    end: int


def seconds_of(text: str) -> int:
    """Raises TimeframeInvalid."""
    match = _SHAPE.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_DAYS * Step.DAY:
        raise TimeframeInvalid(
            f"timeframe: found {text[:40]!r}, expected minutes, hours or days such as 15m, 24h, 7d "
            f"or 30d, at most {_LONGEST_DAYS}d"
        )
    return seconds


def cover(
    begin: float,
    now: float,
    kept_from: Callable[[Step], int | None],
    *,
    coarsest: float = Step.DAY,
) -> tuple[Span, ...]:
    """The fewest rows that tell of `begin` to `now`, to the minute where minutes are kept.

    `kept_from` tells where what is kept of each length begins. Where the finer rows are gone, the
    coarse one that holds the beginning is taken whole: rather a little more than a gap. None is
    longer than `coarsest`, which a chart needs.
    """
    first, last = Step.MINUTE.begin(begin), Step.MINUTE.begin(now) + Step.MINUTE
    steps = [step for step in (Step.DAY, Step.HOUR) if step <= coarsest]
    return tuple(_cover(first, last, (*steps, Step.MINUTE), kept_from))


def parts(spans: tuple[Span, ...]) -> Iterator[Span]:
    """The same in pieces, so that no more than a few rows of each plugin are in memory at once."""
    for span in spans:
        for begin in range(span.begin, span.end, AT_ONCE * span.step):
            end = min(span.end, begin + AT_ONCE * span.step)
            yield Span(step=span.step, begin=begin, end=end)


def _cover(
    begin: int, end: int, steps: tuple[Step, ...], kept_from: Callable[[Step], int | None]
) -> list[Span]:
    """`end` is in the future or now, so the coarse row in which it lies says nothing else."""
    step, *finer = steps
    if not finer:
        return [Span(step=step, begin=begin, end=end)] if begin < end else []
    whole = step.begin(begin + step - 1)
    if whole != begin and not _reaches(begin, tuple(finer), kept_from):
        whole = step.begin(begin)
    if whole >= end:
        return _cover(begin, end, tuple(finer), kept_from)
    return [
        *(_cover(begin, whole, tuple(finer), kept_from) if begin < whole else []),
        Span(step=step, begin=whole, end=end),
    ]


def _reaches(begin: int, finer: tuple[Step, ...], kept_from: Callable[[Step], int | None]) -> bool:
    """Whether finer rows go back as far: the coarser of them may end a little before."""
    starts = [(step, kept_from(step)) for step in finer]
    return any(start is not None and start <= step.begin(begin) for step, start in starts)


def chart_step(seconds: float) -> int:
    """How long a point of a chart is; it is made of rows that are not longer."""
    least = Step.HOUR if seconds > BY_MINUTE_SECONDS else Step.MINUTE
    fitting = (step for step in _STEPS if step >= least and seconds / step <= _POINTS)
    return next(fitting, _STEPS[-1])
