"""The plugin's board below its calls: resources beside their limits, and all the rest."""

from typing import Final

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from grafana.boards.grid import TO_LOG, Row
from grafana.boards.kit import (
    ANY_IS_ODD,
    RATING,
    ROLLOUTS,
    YES_IS_WELL,
    lines,
    number,
    timeline,
)
from grafana.boards.promql import grown, increase, moved, per, rate, whole

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

_CPU_WINDOW: Final = "2m"
"""CPU is read every ten seconds: a window of a few reads would show more than the limit lets by."""
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


def _day(metric: str, where: str) -> str:
    return whole(increase(metric, where=where, window="24h"))


def _commands() -> text.Panel:
    panel = text.Panel().title("Logs and more").mode(TextMode.MARKDOWN).content(_COMMANDS)
    return panel.span(6).height(8)


RESOURCES: Final = Row(
    title="Resources, each beside its limit",
    panels=(
        _pair("Memory", "memory_bytes", "memory_limit_bytes"),
        lines(
            "CPU",
            (rate("plugin_cpu_seconds_total", where="@@", window=_CPU_WINDOW), "used"),
            ("max(orchestrator_plugin_cpu_limit_cores{@@})", "limit"),
            unit="suffix: cores",
            limit="limit",
            about="Of two minutes.",
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
            (grown("plugin_restarts_total", where="@@"), "restarts"),
            (grown("plugin_oom_kills_total", where="@@"), "OOM kills"),
            unit="short",
            bars=True,
            colors={"restarts": "orange", "OOM kills": "red"},
            width=6,
        ),
    ),
)

_STATE: Final = Row(
    title="State",
    panels=(
        number(
            "Security rating",
            "min(orchestrator_plugin_security_rating{@@})",
            steps=RATING,
            decimals=0,
            width=4,
            spark=False,
            about="8 only computes, 1 may do nearly all; `orchestrator explain` says why.",
        ),
        number(
            "Fits this orchestrator",
            "min(orchestrator_plugin_version_compatible{@@})",
            texts=YES_IS_WELL,
            width=4,
            spark=False,
            about="Within its min_core_version and max_core_version.",
        ),
        number(
            "Gave up",
            "max(orchestrator_plugin_gave_up{@@})",
            texts={"0": ("no", "green"), "1": ("yes", "red")},
            width=4,
            spark=False,
            about="It failed too often, and is not started again.",
        ),
        number(
            "Drift not healed",
            "max(orchestrator_reconcile_drift_unhealed{@@}) or vector(0)",
            texts={"0": ("none", "green"), "1": ("yes", "red")},
            width=4,
            spark=False,
            about="Somebody changed its container, and that is not set back yet.",
        ),
        number(
            "Rollbacks, 24 h",
            _day("rollouts_total", '@@,outcome="rolled_back"'),
            steps=ANY_IS_ODD,
            decimals=0,
            width=4,
        ),
        number(
            "Security alerts, 24 h",
            _day("security_alerts_total", "@@"),
            steps=ANY_IS_ODD,
            decimals=0,
            width=4,
        ),
        timeline(
            "Sub-state",
            "max by (sub_state) (orchestrator_plugin_sub_state{@@} > 0)",
            "{{sub_state}}",
            {},
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
        _pair("Replicas that take calls", "replicas", "replicas_wanted", unit="short"),
        _commands(),
    ),
)

_HAPPENED: Final = Row(
    title="What happened to it, and what it was refused",
    panels=(
        lines(
            "Rollouts by outcome",
            per("outcome", moved("rollouts_total", "outcome", where="@@")),
            unit="short",
            bars=True,
            colors=ROLLOUTS,
            width=6,
        ),
        lines(
            "Drift by field",
            per("field", moved("reconcile_drift_total", "field", where="@@")),
            unit="short",
            bars=True,
            about="Changes from outside that were found on its containers.",
            width=6,
        ),
        lines(
            "Security alerts by kind",
            per("alert", moved("security_alerts_total", "alert", where="@@")),
            unit="short",
            bars=True,
            about="What each means: orchestrator runbook SecurityAlert.",
            width=6,
        ),
        lines(
            "Refusals by rule",
            per("rule", moved("security_refusals_total", "rule", where="@@")),
            unit="short",
            bars=True,
            width=6,
        ),
    ),
)

_EVENTS: Final = Row(
    title="Events, and what it says of itself",
    panels=(
        lines(
            "Events that it published",
            (rate("events_published_total", where="@@"), "published"),
            unit="eps",
            colors={"published": "blue"},
            width=6,
        ),
        lines(
            "Events delivered to it",
            (rate("events_delivered_total", where="@@"), "delivered"),
            (rate("events_failed_tries_total", where="@@"), "failed tries"),
            unit="eps",
            colors={"delivered": "green", "failed tries": "red"},
            width=6,
        ),
        lines(
            "Events that wait for it",
            ("sum(orchestrator_events_pending{@@})", "waiting"),
            ("sum(orchestrator_events_dead{@@})", "dead"),
            unit="short",
            colors={"waiting": "blue", "dead": "red"},
            width=6,
        ),
        lines(
            "What it says of itself",
            ('{@@,__name__=~"orchestrator_plugin_custom_.+"}', "{{__name__}}"),
            unit="short",
            width=6,
            about="The numbers of its answer to status.",
        ),
    ),
)

BESIDE: Final = (_STATE, _HAPPENED, _EVENTS)
