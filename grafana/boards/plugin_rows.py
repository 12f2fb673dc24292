"""The plugin's board below its calls: resources beside their limits, and all the rest."""

from typing import Final

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from grafana.boards.grid import TO_LOG, Row
from grafana.boards.kit import YES_IS_WELL, lines, timeline
from grafana.boards.promql import increase, moved, per, rate

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

_PERIODS: Final = [
    rate(f"plugin_cpu_{name}periods_total", where="@@") for name in ("throttled_", "")
]
_COMMANDS: Final = f"""\
- [its log in the time that is shown]({TO_LOG}), after `orchestrator logs ${{plugin}} --web` once
- its log as it is written: `orchestrator logs ${{plugin}} -f`
- why it is as it is: `orchestrator status ${{plugin}}`
- what it may do: `orchestrator explain ${{plugin}}`
- what was refused: `orchestrator audit --plugin ${{plugin}}`
- its revisions: `orchestrator rollout history ${{plugin}}`
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


RESOURCES: Final = Row(
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
)

BESIDE: Final = Row(
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
            per("rule", moved("security_refusals_total", "rule", where="@@")),
            unit="short",
            bars=True,
            width=6,
        ),
        _commands(),
        lines(
            "Events delivered to it",
            (rate("events_delivered_total", where="@@"), "delivered"),
            (rate("events_failed_tries_total", where="@@"), "failed tries"),
            unit="eps",
            colors={"delivered": "green", "failed tries": "red"},
            width=8,
        ),
        lines(
            "Events that wait for it",
            ("sum(orchestrator_events_pending{@@})", "waiting"),
            ("sum(orchestrator_events_dead{@@})", "dead"),
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
)
