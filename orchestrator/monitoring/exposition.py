"""The two text formats of /metrics: Prometheus' own, and OpenMetrics with exemplars.

prometheus_client has both, and takes 100 to 200 ms for what 300 plugins tell, in which no call is
answered; this takes a tenth. The tests hold what comes out to its parsers, and to promtool.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from orchestrator.monitoring.board import Exemplars, Family
from orchestrator.monitoring.metrics import Metric, MetricKind
from orchestrator.monitoring.tally import Spread

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OPEN: Final = "application/openmetrics-text"
_PAIR: Final = 2
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def content_type_for(accept: str) -> str:
    """OpenMetrics for who asks for it, as Prometheus does; plain text for everybody else."""
    wanted = {each.split(";")[0].strip().lower() for each in accept.split(",")}
    return OPEN_METRICS if _OPEN in wanted else PLAIN


def encode(families: Iterable[Family], content_type: str) -> Iterator[bytes]:
    """All of it as text, a family at a time; `content_type` is PLAIN or OPEN_METRICS."""
    open_metrics = content_type == OPEN_METRICS
    for family in families:
        lines = [*_head(family.metric, open_metrics=open_metrics), *_rows(family)]
        for labels, spread, exemplars in family.spreads:
            lines += _histogram(family.metric, labels, spread, exemplars if open_metrics else {})
        yield "".join(lines).encode()
    if open_metrics:
        yield b"# EOF\n"


def _head(metric: Metric, *, open_metrics: bool) -> tuple[str, str]:
    name, kind = metric.name, str(metric.kind)
    if open_metrics:
        suffix = {MetricKind.COUNTER: "_total", MetricKind.INFO: "_info"}.get(metric.kind, "")
        name = name.removesuffix(suffix)
    elif metric.kind is MetricKind.INFO:
        kind = "gauge"
    text = metric.help.translate(_ESCAPES if open_metrics else _HELP_ESCAPES)
    return f"# HELP {name} {text}\n", f"# TYPE {name} {kind}\n"


def _rows(family: Family) -> Iterator[str]:
    name, names = family.metric.name, family.metric.labels
    if names == ("plugin",):  # nearly all of them, and plugins' ids need no escaping
        start = f'{name}{{plugin="'
        for (plugin_id,), value in family.rows:
            yield f'{start}{plugin_id}"}} {_number(value)}\n'
        return
    if len(names) == _PAIR:
        (first, second), known = names, _Escaped()
        for (one, two), value in family.rows:
            pairs = f'{first}="{known[one]}",{second}="{known[two]}"'
            yield f"{name}{{{pairs}}} {_number(value)}\n"
        return
    for values, value in family.rows:
        yield f"{name}{_labels(names, values)} {_number(value)}\n"


class _Escaped(dict[str, str]):
    """Values of labels, escaped once: the same few come again and again."""

    def __missing__(self, value: str) -> str:
        escaped = self[value] = value.translate(_ESCAPES)
        return escaped


def _histogram(
    metric: Metric, values: tuple[str, ...], spread: Spread, exemplars: Exemplars
) -> Iterator[str]:
    name, total = metric.name, 0
    inner = _pairs(metric.labels, values)
    start = f'{name}_bucket{{{inner}{"," if inner else ""}le="'
    bounds = [*map(_number, map(float, spread.bounds)), "+Inf"]
    for number, (bound, count) in enumerate(zip(bounds, spread.buckets, strict=True)):
        total += count
        yield f'{start}{bound}"}} {total}{_exemplar(exemplars, number)}\n'
    outer = f"{{{inner}}}" if inner else ""
    yield f"{name}_sum{outer} {_number(spread.seconds)}\n"
    yield f"{name}_count{outer} {total}\n"


def _exemplar(exemplars: Exemplars, bucket: int) -> str:
    found = exemplars.get(bucket)
    if found is None:
        return ""
    trace_id, seconds, at = found
    return f' # {{trace_id="{trace_id}"}} {seconds!r} {at:.3f}'


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return f"{{{_pairs(names, values)}}}" if names else ""


def _pairs(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)
    )


def _number(value: float) -> str:
    text = repr(value + 0)  # True is 1
    return "+Inf" if text == "inf" else text
