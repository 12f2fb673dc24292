"""Plugin: everything of one plugin, usage beside its limit."""

from typing import Final

from grafana.boards.grid import Board, Row
from grafana.boards.kit import (
    ANY_IS_ODD,
    OUTCOMES,
    QUANTILES,
    SECONDS_OF_CALL,
    SHARE_OF_LIMIT,
    STATES,
    SUCCESS,
    fact,
    lines,
    number,
)
from grafana.boards.plugin_rows import BESIDE, RESOURCES
from grafana.boards.promql import (
    LATELY,
    LATENCY,
    increase,
    named_tools,
    per,
    quantile,
    quantiles,
    rate,
    share,
    state,
    succeeded,
    top,
    whole,
)

_TOOLS: Final = rate("plugin_tool_calls_total", "tool", where="@@")
_TOOL_FAILURES: Final = rate("plugin_tool_failures_total", "tool", where="@@") + " > 0"
_TOOL_SECONDS: Final = rate("plugin_tool_seconds_total", "tool", where="@@")
_COUNT: Final = rate(f"{LATENCY}_count", where="@@")
_AVERAGE: Final = " / ".join(rate(f"{LATENCY}_{part}", where="@@") for part in ("sum", "count"))
_BUDGET_LEFT: Final = (
    "clamp_min(1 - max(orchestrator:plugin_failures:ratio_rate3d{@@}"
    " / on (instance) group_left () orchestrator:error_budget:ratio{@}), 0)"
)

BOARD: Final = Board(
    uid="orchestrator-plugin",
    title="Orchestrator / Plugin",
    about="Everything of one plugin.",
    of_a_plugin=True,
    rows=(
        Row(
            panels=(
                number("State", state("@@"), texts=STATES, filled=True, spark=False),
                fact("Version", "orchestrator_plugin_info{@@}", "{{version}}"),
                number(
                    "Success rate",
                    succeeded("@@", window=LATELY),
                    unit="percentunit",
                    steps=SUCCESS,
                    decimals=2,
                    spark=False,
                    none="no calls",
                    about="Of five minutes, without what callers did wrong.",
                ),
                number(
                    "Calls",
                    rate("plugin_calls_total", where="@@", window=LATELY),
                    spark=False,
                    unit="reqps",
                    decimals=1,
                    none="0",
                    about="Of five minutes.",
                ),
                number(
                    "Latency p95",
                    quantile(0.95, LATENCY, where="@@", window=LATELY) + " > 0",
                    spark=False,
                    unit="s",
                    steps=SECONDS_OF_CALL,
                    none="no calls",
                ),
                number(
                    "Memory used",
                    share("memory_bytes", "memory_limit_bytes", where="@@", by=""),
                    unit="percentunit",
                    steps=SHARE_OF_LIMIT,
                    decimals=0,
                ),
                number(
                    "Restarts, 24 h",
                    whole(increase("plugin_restarts_total", where="@@", window="24h")),
                    steps=ANY_IS_ODD,
                    decimals=0,
                ),
                number(
                    "Refusals, 24 h",
                    whole(increase("security_refusals_total", where="@@", window="24h")),
                    steps=ANY_IS_ODD,
                    decimals=0,
                ),
            ),
        ),
        Row(
            title="Calls",
            panels=(
                lines(
                    "By outcome",
                    per("outcome", rate("plugin_calls_total", "outcome", where="@@") + " > 0"),
                    unit="reqps",
                    stacked=True,
                    colors=OUTCOMES,
                    width=6,
                ),
                lines(
                    "Latency",
                    *quantiles(LATENCY, 50, 95, 99, where="@@"),
                    (
                        _AVERAGE,
                        "average",
                    ),
                    unit="s",
                    colors=QUANTILES,
                    width=6,
                ),
                lines(
                    "In flight and queued",
                    ("sum(orchestrator_plugin_calls_in_flight{@@})", "in flight"),
                    ("sum(orchestrator_plugin_calls_queued{@@})", "queued"),
                    ("sum(orchestrator_plugin_calls_in_flight_limit{@@})", "limit"),
                    unit="short",
                    limit="limit",
                    about="Beyond the limit calls queue; policy.calls.max_queue bounds that.",
                    width=6,
                ),
                lines(
                    "By tool",
                    per("tool", top(8, named_tools(_TOOLS))),
                    unit="reqps",
                    stacked=True,
                    about="(execute) is a plain call, of no tool.",
                    width=6,
                ),
                lines(
                    "By caller",
                    per("caller", top(8, rate("plugin_caller_calls_total", "caller", where="@@"))),
                    unit="reqps",
                    stacked=True,
                    about="An operator, pages, or another plugin.",
                    width=6,
                ),
                lines(
                    "Waiting, of each call",
                    (
                        f"{rate('plugin_call_wait_seconds_total', where='@@')} / {_COUNT}",
                        "average",
                    ),
                    unit="s",
                    colors=QUANTILES,
                    about="Before the plugin had it: for a connection, or for the plugin to start.",
                    width=6,
                ),
                lines(
                    "Failures by tool",
                    per("tool", top(8, named_tools(_TOOL_FAILURES))),
                    unit="reqps",
                    stacked=True,
                    width=6,
                ),
                lines(
                    "Average time by tool",
                    per("tool", top(8, named_tools(f"{_TOOL_SECONDS} / ({_TOOLS} > 0)"))),
                    unit="s",
                    width=6,
                ),
                number(
                    "Shortest call",
                    "min(orchestrator_plugin_call_duration_min_seconds{@@})",
                    unit="s",
                    width=4,
                    spark=False,
                    about="Since the daemon started.",
                ),
                number(
                    "Longest call",
                    "max(orchestrator_plugin_call_duration_max_seconds{@@})",
                    unit="s",
                    width=4,
                    spark=False,
                    about="Since the daemon started.",
                ),
                number(
                    "Queue limit",
                    "max(orchestrator_plugin_calls_queued_limit{@@})",
                    width=4,
                    spark=False,
                ),
                number(
                    "Objective",
                    "max(orchestrator_slo_ratio{@})",
                    unit="percentunit",
                    width=4,
                    spark=False,
                    about="policy.analytics.slo_percent of its calls are to succeed.",
                ),
                number(
                    "Error budget left, 3 d",
                    _BUDGET_LEFT,
                    unit="percentunit",
                    steps=((None, "red"), (0.001, "orange"), (0.5, "green")),
                    texts={"0": ("all spent", "red")},
                    decimals=0,
                    width=4,
                    spark=False,
                    none="no calls",
                    about="Of what may fail by policy.analytics.slo_percent.",
                ),
                number(
                    "Running since",
                    "1000 * max(orchestrator_plugin_started_at_seconds{@@} > 0)",
                    unit="dateTimeFromNow",
                    width=4,
                    spark=False,
                ),
            ),
        ),
        RESOURCES,
        *BESIDE,
    ),
)
