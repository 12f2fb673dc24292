"""Security and audit: what was refused, to whom, and whether the log of it is whole."""

from typing import Final

from grafana.boards.grid import Board, Row
from grafana.boards.kit import (
    ANY_IS_ODD,
    RATING,
    YES_IS_WELL,
    lines,
    number,
    ranking,
    timeline,
)
from grafana.boards.promql import increase, moved, per, rate, share, top, whole

_REFUSALS: Final = "security_refusals_total"
_ALERTS: Final = "security_alerts_total"
_RISKY: Final = 3
"""A rating, 8 is the best, from which on down a plugin is worth a second look."""


def _day(metric: str) -> str:
    return whole(increase(metric, window="24h"))


def _top(metric: str, labels: str) -> str:
    return top(10, f"round({increase(metric, labels, window='24h')}) > 0")


BOARD: Final = Board(
    uid="orchestrator-security",
    title="Orchestrator / Security and audit",
    about="What plugins tried and were refused, how much they may do, and the audit log.",
    rows=(
        Row(
            panels=(
                number(
                    "Audit log whole",
                    "min(orchestrator_audit_chain_intact{@})",
                    texts=YES_IS_WELL,
                    filled=True,
                    spark=False,
                    about="Whether the chain of records verified when it was last looked at.",
                ),
                number("Alerts, 24 h", _day(_ALERTS), steps=ANY_IS_ODD, filled=True, decimals=0),
                number("Refusals, 24 h", _day(_REFUSALS), steps=ANY_IS_ODD, decimals=0),
                number(
                    "Plugins refused something",
                    whole(f"count({increase(_REFUSALS, 'plugin', window='24h')} > 0)"),
                    steps=ANY_IS_ODD,
                    decimals=0,
                ),
                number(
                    "Updates that wait",
                    "sum(orchestrator_updates_held{@})",
                    steps=ANY_IS_ODD,
                    decimals=0,
                    about="They ask for more than before, and wait for a grant.",
                ),
                number(
                    "Overrides",
                    "sum(orchestrator_permission_overrides{@}) or vector(0)",
                    steps=ANY_IS_ODD,
                    decimals=0,
                    about="Permissions granted or revoked by command, unlike the manifests.",
                ),
                number(
                    f"Plugins rated {_RISKY} or less",
                    f"count(orchestrator_plugin_security_rating{{@}} <= {_RISKY}) or vector(0)",
                    steps=ANY_IS_ODD,
                    decimals=0,
                    about="8 only computes, 1 may do nearly all; `orchestrator explain` says why.",
                ),
                number(
                    "Audit records",
                    rate("audit_records_total"),
                    unit="cps",
                ),
            ),
        ),
        Row(
            title="Refusals",
            panels=(
                lines(
                    "By rule",
                    per("rule", moved(_REFUSALS, "rule")),
                    unit="short",
                    bars=True,
                    width=8,
                ),
                lines(
                    "By plugin",
                    per("plugin", moved(_REFUSALS, "plugin")),
                    unit="short",
                    bars=True,
                    width=8,
                ),
                ranking(
                    "Plugin and rule, 24 h",
                    _top(_REFUSALS, "plugin, rule"),
                    "{{plugin}}: {{rule}}",
                    unit="short",
                    steps=((None, "orange"), (100, "red")),
                    most=None,
                    width=8,
                ),
            ),
        ),
        Row(
            title="Alerts and rights",
            panels=(
                lines(
                    "Alerts by kind",
                    per("alert", moved(_ALERTS, "alert")),
                    unit="short",
                    bars=True,
                    about="What each means: orchestrator runbook SecurityAlert.",
                ),
                ranking(
                    "Plugin and alert, 24 h",
                    _top(_ALERTS, "plugin, alert"),
                    "{{plugin}}: {{alert}}",
                    unit="short",
                    steps=((None, "orange"), (10, "red")),
                    most=None,
                    width=8,
                ),
                ranking(
                    "Rating",
                    "bottomk(10, min by (plugin) (orchestrator_plugin_security_rating{@}))",
                    unit="short",
                    steps=RATING,
                    most=8,
                    width=8,
                    about="8 only computes, 1 may do nearly all; `orchestrator explain` says why.",
                ),
            ),
        ),
        Row(
            title="The way out",
            panels=(
                lines(
                    "Egress by class of host",
                    (
                        rate("plugin_egress_bytes_total", "host_class, direction"),
                        "{{host_class}} {{direction}}",
                    ),
                    unit="binBps",
                    stacked=True,
                ),
                lines(
                    "Egress by plugin",
                    per("plugin", top(8, rate("plugin_egress_bytes_total", "plugin"))),
                    unit="binBps",
                    table=True,
                ),
                ranking(
                    "Network quota used",
                    top(10, share("network_window_bytes", "network_limit_bytes")),
                    width=8,
                ),
            ),
        ),
        Row(
            title="Handed-in code, and the log",
            panels=(
                lines(
                    "Runs by how they ended",
                    per("reason", moved("code_runs_total", "reason")),
                    unit="short",
                    bars=True,
                    colors={"ok": "green", "timeout": "orange", "oom_killed": "red"},
                ),
                timeline(
                    "Audit log whole",
                    "min by (instance) (orchestrator_audit_chain_intact{@})",
                    "{{instance}}",
                    YES_IS_WELL,
                    width=4,
                ),
                lines(
                    "Audit log's size",
                    ("max by (instance) (orchestrator_audit_bytes{@})", "{{instance}}"),
                    unit="bytes",
                    width=4,
                    about="On disk; `orchestrator audit archive` moves old records away.",
                ),
                lines(
                    "Permissions unlike the manifests",
                    ("sum by (state) (orchestrator_permission_overrides{@})", "{{state}}"),
                    unit="short",
                    stacked=True,
                ),
            ),
        ),
    ),
)
