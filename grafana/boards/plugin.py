"""Plugin: everything of one plugin, usage beside its limit."""

from typing import Final

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from grafana.boards.grid import Board, Row
from grafana.boards.kit import (
    ANY_IS_ODD,
    OUTCOMES,
    QUANTILES,
    SECONDS_OF_CALL,
    SHARE_OF_LIMIT,
    STATES,
    SUCCESS,
    YES_IS_WELL,
    fact,
    lines,
    number,
    timeline,
)
from grafana.boards.promql import (
    LATENCY,
    increase,
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

_SUB_STATES: Final = {
    name: color
    for color, names in {
        "green": ("running",),
        "blue": ("starting", "preparing", "adopting", "updating", "pending", "idle"),
        "orange": ("degraded", "waiting", "held", "paused", "rolled_back", "draining"),
        "red": ("unhealthy", "restarting", "backing_off", "stuck", "gave_up", "unfit"),
        "#6e7079": ("stopping", "stopped"),
    }.items()
    for name in names
}

_TOOLS: Final = rate("plugin_tool_calls_total", "tool", where="@@")
_NAMED_TOOLS: Final = f'label_replace({_TOOLS}, "tool", "(execute)", "tool", "")'
_PERIODS: Final = [
    rate(f"plugin_cpu_{name}periods_total", where="@@") for name in ("throttled_", "")
]
_AVERAGE: Final = " / ".join(rate(f"{LATENCY}_{part}", where="@@") for part in ("sum", "count"))
_HEARD: Final = '@,subscriber=~"$plugin"'
_COMMANDS: Final = """\
| to see | command |
|---|---|
| its log | `orchestrator logs ${plugin} --follow` |
| why it is as it is | `orchestrator status ${plugin}` |
| what it may do | `orchestrator explain ${plugin}` |
| what was refused | `orchestrator audit --plugin ${plugin}` |
| its revisions | `orchestrator rollout history ${plugin}` |
"""


def _pair(
    title: str, usage: str, limit: str, *, unit: str = "bytes", about: str = "", width: int = 6
) -> object:
    """Usage, and its limit as a dashed line."""
    return lines(
        title,
        (f"max(orchestrator_plugin_{usage}{{@@}})", "used"),
        (f"max(orchestrator_plugin_{limit}{{@@}})", "limit"),
        unit=unit,
        limit="limit",
        about=about,
        width=width,
    )


def _commands() -> text.Panel:
    panel = text.Panel().title("Logs and more").mode(TextMode.MARKDOWN).content(_COMMANDS)
    return panel.span(6).height(8)


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
                    succeeded("@@"),
                    unit="percentunit",
                    steps=SUCCESS,
                    decimals=2,
                    none="no calls",
                    about="Without what callers did wrong.",
                ),
                number("Calls", rate("plugin_calls_total", where="@@"), unit="reqps", none="0"),
                number(
                    "Latency p95",
                    quantile(0.95, LATENCY, where="@@") + " > 0",
                    unit="s",
                    steps=SECONDS_OF_CALL,
                    none="no calls",
                ),
                number(
                    "Memory of its limit",
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
                    per("outcome", rate("plugin_calls_total", "outcome", where="@@")),
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
                    per("tool", top(8, _NAMED_TOOLS)),
                    unit="reqps",
                    stacked=True,
                    about="(execute) is a plain call, of no tool.",
                    width=6,
                ),
                number(
                    "Shortest call",
                    "min(orchestrator_plugin_call_duration_min_seconds{@@})",
                    unit="s",
                    width=5,
                    spark=False,
                    about="Since the daemon started.",
                ),
                number(
                    "Longest call",
                    "max(orchestrator_plugin_call_duration_max_seconds{@@})",
                    unit="s",
                    width=5,
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
                    "Error budget left, 3 d",
                    "1 - max(orchestrator:plugin_failures:ratio_rate3d{@@}) / 0.001",
                    unit="percentunit",
                    steps=((None, "red"), (0, "orange"), (0.5, "green")),
                    decimals=0,
                    width=5,
                    spark=False,
                    none="no calls",
                    about="Of the 0.1 % of its calls that may fail.",
                ),
                number(
                    "Running since",
                    "1000 * max(orchestrator_plugin_started_at_seconds{@@} > 0)",
                    unit="dateTimeFromNow",
                    width=5,
                    spark=False,
                ),
            ),
        ),
        Row(
            title="Resources, each beside its limit",
            panels=(
                _pair("Memory", "memory_bytes", "memory_limit_bytes"),
                lines(
                    "CPU",
                    (rate("plugin_cpu_seconds_total", where="@@"), "used"),
                    ("max(orchestrator_plugin_cpu_limit_cores{@@})", "limit"),
                    unit="suffix: cores",
                    limit="limit",
                    width=6,
                ),
                lines(
                    "Throttled",
                    (f"{_PERIODS[0]} / ({_PERIODS[1]} > 0)", "periods held back"),
                    (rate("plugin_cpu_throttled_seconds_total", where="@@"), "time held back"),
                    unit="percentunit",
                    steps=((None, "green"), (0.25, "orange")),
                    about="Of the periods in which it wanted CPU; of the time.",
                    width=6,
                ),
                _pair("Processes and threads", "pids", "pids_limit", unit="short"),
                _pair("Disk /data", "disk_bytes", "disk_limit_bytes"),
                _pair(
                    "Network, in the window",
                    "network_window_bytes",
                    "network_limit_bytes",
                    about="Bytes through brokers and network within policy.egress.window_seconds.",
                ),
                lines(
                    "Egress",
                    (
                        rate("plugin_egress_bytes_total", "host_class, direction", where="@@"),
                        "{{host_class}} {{direction}}",
                    ),
                    unit="binBps",
                    stacked=True,
                    width=6,
                ),
                lines(
                    "Restarts and OOM kills",
                    (increase("plugin_restarts_total", where="@@"), "restarts"),
                    (increase("plugin_oom_kills_total", where="@@"), "OOM kills"),
                    unit="short",
                    bars=True,
                    colors={"restarts": "orange", "OOM kills": "red"},
                    width=6,
                ),
            ),
        ),
        Row(
            title="State, security, events",
            panels=(
                lines(
                    "Sub-state",
                    ("sum by (sub_state) (orchestrator_plugin_sub_state{@@} > 0)", "{{sub_state}}"),
                    unit="short",
                    stacked=True,
                    colors=_SUB_STATES,
                    width=6,
                    about="docs/lifecycle.md says what each means.",
                ),
                timeline(
                    "Plugins that it needs",
                    "max by (dependency) (orchestrator_plugin_dependency_up{@@})",
                    "{{dependency}}",
                    YES_IS_WELL,
                    width=6,
                ),
                lines(
                    "Refusals by rule",
                    per("rule", increase("security_refusals_total", "rule", where="@@")),
                    unit="short",
                    bars=True,
                    width=6,
                ),
                _commands(),
                lines(
                    "Events delivered to it",
                    (rate("events_delivered_total", where=_HEARD), "delivered"),
                    (rate("events_failed_tries_total", where=_HEARD), "failed tries"),
                    unit="eps",
                    colors={"delivered": "green", "failed tries": "red"},
                    width=8,
                ),
                lines(
                    "Events that wait for it",
                    ('sum(orchestrator_events_pending{@,subscriber=~"$plugin"})', "waiting"),
                    ('sum(orchestrator_events_dead{@,subscriber=~"$plugin"})', "dead"),
                    unit="short",
                    colors={"waiting": "blue", "dead": "red"},
                    width=8,
                ),
                lines(
                    "What it says of itself",
                    ('{@@,__name__=~"orchestrator_plugin_custom_.+"}', "{{__name__}}"),
                    unit="short",
                    width=8,
                    about="The numbers of its answer to status.",
                ),
            ),
        ),
    ),
)
