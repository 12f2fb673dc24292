"""Expressions that the boards share, and what selects the chosen instance and plugin in them."""

from typing import Final

from orchestrator.sandbox.observer import CALLERS_FAULT

INSTANCE: Final = 'instance=~"$instance"'
PLUGIN: Final = f'{INSTANCE},plugin=~"$plugin"'
_EXCUSED: Final = "|".join(sorted(CALLERS_FAULT))
JUDGED: Final = f'outcome!~"{_EXCUSED}"'
"""Calls that say something of a plugin: not those that its callers did wrong."""
FAILED: Final = f'outcome!~"ok|{_EXCUSED}"'
"""Those of them that failed. The rules say both in the same words."""
LATELY: Final = "5m"
"""The window of tiles and tables that tell the same: they must not differ by theirs."""
LATENCY: Final = "plugin_call_duration_seconds"


def promql(expression: str) -> str:
    """`{@@` selects the instance and the plugin that are chosen above the board, `{@` the first."""
    return expression.replace("{@@", "{" + PLUGIN).replace("{@", "{" + INSTANCE)


def rate(metric: str, by: str = "", *, where: str = "@", window: str = "$__rate_interval") -> str:
    """How fast a counter grows, per second."""
    return f"sum{_by(by)}(rate(orchestrator_{metric}{{{where}}}[{window}]))"


def increase(
    metric: str, by: str = "", *, where: str = "@", window: str = "$__rate_interval"
) -> str:
    """By how much a counter grew."""
    return f"sum{_by(by)}(increase(orchestrator_{metric}{{{where}}}[{window}]))"


def grown(metric: str, by: str = "", *, where: str = "@") -> str:
    """By how much a counter grew in each bar: whole, and each growth in one bar alone.

    `increase` reckons with what it did not see, so one restart would be a bit more than one, and
    `$__rate_interval` is longer than a bar, so it would be in several. A counter that is less than
    before was begun anew; one that was not there before was born, if somebody looked by then.
    """
    now = f"orchestrator_{metric}{{{where}}}"
    grew = f"({now} - {now} offset $__interval) >= 0"
    anew = f"{now} and on (instance, job) up offset $__interval == 1"
    return f"sum{_by(by)}({grew} or {anew})"


def moved(metric: str, by: str, *, where: str = "@") -> str:
    """The same of those counters that did not stand still, or legends would drown."""
    return f"{grown(metric, by, where=where)} > 0"


def named_tools(expression: str) -> str:
    """A plain call is of no tool; it gets a name for the legend."""
    return f'label_replace({expression}, "tool", "(execute)", "tool", "")'


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def per(label: str, expression: str) -> tuple[str, str]:
    """The expression, and a legend that shows the label."""
    return expression, f"{{{{{label}}}}}"


def whole(expression: str) -> str:
    """A count: rounded, and 0 where there is nothing."""
    return f"round({expression}) or vector(0)"


def succeeded(where: str, *, window: str = "$__rate_interval") -> str:
    """The share of calls that did not fail, without those that callers did wrong."""
    failures = rate("plugin_calls_total", where=f"{where},{FAILED}", window=window)
    judged = rate("plugin_calls_total", where=f"{where},{JUDGED}", window=window)
    return f"1 - ({failures} or vector(0)) / ({judged} > 0)"


def state(where: str, by: str = "") -> str:
    """0 stopped as is wanted, 1 up, 2 down."""
    up, wanted = (f"orchestrator_plugin_{name}{{{where}}}" for name in ("up", "wanted"))
    return f"max{_by(by)}({up} + 2 * ({wanted} > bool {up}))"


def quantile(
    rank: float,
    metric: str,
    by: str = "",
    *,
    where: str = "@",
    window: str = "$__rate_interval",
) -> str:
    """A quantile of a histogram."""
    buckets = rate(f"{metric}_bucket", f"le, {by}" if by else "le", where=where, window=window)
    return f"histogram_quantile({rank}, {buckets})"


def quantiles(metric: str, *ranks: int, where: str = "@") -> list[tuple[str, str]]:
    """Several, each with its name as legend."""
    return [(quantile(rank / 100, metric, where=where), f"p{rank}") for rank in ranks]


def share(usage: str, limit: str, *, where: str = "@", by: str = "plugin") -> str:
    """Usage as a part of its limit; plugins without the limit are left out."""
    used, most = (f"orchestrator_plugin_{name}{{{where}}}" for name in (usage, limit))
    return f"max{_by(by)}({used} / ({most} > 0))"


def cpu_share() -> str:
    """The same of the processor, which is counted in seconds."""
    used = "rate(orchestrator_plugin_cpu_seconds_total{@}[5m])"
    return f"max by (plugin) ({used} / orchestrator_plugin_cpu_limit_cores{{@}})"


def top(count: int, expression: str) -> str:
    return f"topk({count}, {expression})"
