"""Charts as inline SVG: no script, no link, colours by class from the page's style. Pure.

Every text that is put in goes through `escaped`.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 1_040.0
HEIGHT: Final = 230.0
LEFT: Final = 64.0
RIGHT: Final = 12.0
TOP: Final = 14.0
BOTTOM: Final = 28.0
_MOST_LABELS: Final = 8
_MOST_DECADES: Final = 5

Show = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one layer of bars; None is a gap."""

    name: str
    style: str
    """A class of the page's style: `ok`, `bad`, `one`, `two`."""
    values: Sequence[float | None]


def escaped(text: object) -> str:
    """A stranger's words inside of a page: they never become anything but words."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[:400])
    return html.escape(clean, quote=True)


def bars(layers: Sequence[Series], labels: Sequence[str], show: Show) -> str:
    """Layers on top of each other, one bar a point."""
    count = len(labels)
    sums = [sum(layer.values[i] or 0.0 for layer in layers) for i in range(count)]
    top = 4 * nice(max(1.0, max(sums, default=0.0) / 4))  # four lines, at whole numbers
    step = _inner() / max(1, count)
    parts = []
    for index in range(count):
        floor = 0.0
        words = [labels[index]]
        rects = []
        for layer in layers:
            value = layer.values[index] or 0.0
            words.append(f"{layer.name} {show(value)}")
            if value > 0:
                rects.append(_bar(LEFT + index * step, step, (floor, floor + value, top), layer))
            floor += value
        parts.append(f"<g>{_hit(LEFT + index * step, step, words)}{''.join(rects)}</g>")
    ticks = [(top * part / 4, _y(top * part / 4, top)) for part in range(5)]
    return _framed(_grid(ticks, show) + "".join(parts) + _axis(labels), "Bars by time")


def lines(series: Sequence[Series], labels: Sequence[str], show: Show) -> str:
    """Lines over time on one logarithmic scale: what is plotted differs by orders of magnitude."""
    known = [value for one in series for value in one.values if value is not None and value > 0]
    scale = decades(known)
    step = _inner() / max(1, len(labels))
    places = [LEFT + (index + 0.5) * step for index in range(len(labels))]
    parts = [_line(one, places, scale) for one in series]
    for index, place in enumerate(places):
        words = [labels[index]]
        for one in series:
            value = one.values[index]
            words.append(f"{one.name} {show(value) if value is not None else '-'}")
        parts.append(f"<g>{_hit(place - step / 2, step, words)}</g>")
    ticks = [(value, _log_y(value, scale)) for value in scale]
    return _framed(_grid(ticks, show) + "".join(parts) + _axis(labels), "Lines by time")


def spark(values: Sequence[float], *, width: float = 120.0, height: float = 24.0) -> str:
    """A small area without axes."""
    top = max(values, default=0.0)
    if len(values) < 2 or top <= 0:  # noqa: PLR2004 - a line has two ends
        return ""
    step = width / (len(values) - 1)
    points = " ".join(
        f"{index * step:.1f},{height - 1 - (height - 2) * value / top:.1f}"
        for index, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" aria-hidden="true"><polygon points="0,{height:g} {points} '
        f'{width:g},{height:g}"/><polyline points="{points}"/></svg>'
    )


def meter(share: float, *, most: float | None = None, words: str = "") -> str:
    """How full a limit is: `share` filled, and a mark at the highest that was seen."""
    state = "bad" if share >= 0.9 else "warn" if share >= 0.75 else "ok"  # noqa: PLR2004
    filled = 100 * min(1.0, max(0.0, share))
    mark = ""
    if most is not None:
        at = 100 * min(1.0, max(0.0, most))
        mark = f'<rect class="mark" x="{max(0.0, at - 1):.1f}" y="0" width="1.2" height="8"/>'
    return (
        '<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" role="img">'
        f"<title>{escaped(words)}</title>"
        '<rect class="rail" width="100" height="8" rx="2"/>'
        f'<rect class="{state}" width="{filled:.1f}" height="8" rx="2"/>{mark}</svg>'
    )


def nice(value: float) -> float:
    """1, 2 or 5 times a power of ten, not below `value`."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(step * power) for step in (1, 2, 5, 10) if step * power >= value)


def decades(values: Sequence[float]) -> list[float]:
    """Powers of ten around the values: the ticks of a logarithmic scale, two at least."""
    if not values:
        return [0.001, 1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    each = max(1, math.ceil((high - low) / _MOST_DECADES))
    return [10.0**power for power in range(low, max(high, low + 1) + each, each)]


# ---------------------------------------------------------------------------------------------


def _inner() -> float:
    return WIDTH - LEFT - RIGHT


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(1.0, max(0.0, value / top))


def _log_y(value: float, scale: Sequence[float]) -> float:
    low, high = math.log10(scale[0]), math.log10(scale[-1])
    share = (math.log10(max(value, scale[0])) - low) / (high - low)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(1.0, share)


def _bar(x: float, step: float, span: tuple[float, float, float], layer: Series) -> str:
    low, high, top = span
    gap = min(6.0, step * 0.2)
    y, floor = _y(high, top), _y(low, top)
    height = max(2.0, floor - y)
    return (
        f'<rect class="{layer.style}" x="{x + gap / 2:.1f}" y="{floor - height:.1f}" '
        f'width="{max(1.0, step - gap):.1f}" height="{height:.1f}" rx="1.5"/>'
    )


def _line(one: Series, places: Sequence[float], scale: Sequence[float]) -> str:
    """One path for each run of points without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(places, one.values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((place, _log_y(value, scale)))
    parts = []
    for run in runs:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        if len(run) == 1:
            x, y = run[0]
            parts.append(f'<circle class="dot {one.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        elif run:
            parts.append(f'<polyline class="line {one.style}" points="{points}"/>')
    return "".join(parts)


def _hit(x: float, width: float, words: Sequence[str]) -> str:
    """What shows its words under the pointer."""
    return (
        f"<title>{escaped(' · '.join(words))}</title>"
        f'<rect class="hit" x="{x:.1f}" y="{TOP}" width="{width:.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/>'
    )


def _grid(ticks: Sequence[tuple[float, float]], show: Show) -> str:
    """Of each tick (value, height)."""
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
        f"{escaped(show(value))}</text>"
        for value, y in ticks
    )


def _axis(labels: Sequence[str]) -> str:
    step = _inner() / max(1, len(labels))
    each = max(1, math.ceil(len(labels) / _MOST_LABELS))
    return "".join(
        f'<text class="tick" x="{LEFT + (index + 0.5) * step:.1f}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{escaped(label)}</text>'
        for index, label in enumerate(labels)
        if index % each == 0
    )


def _framed(inside: str, words: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{escaped(words)}">{inside}</svg>'
    )
