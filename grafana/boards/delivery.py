"""Delivery: what was asked for and what came of it, from git to the last event."""

from typing import Final

from grafana.boards.grid import Board, Row
from grafana.boards.kit import (
    ANY_IS_BAD,
    ANY_IS_ODD,
    ROLLOUTS,
    YES_IS_WELL,
    fact,
    lines,
    number,
    ranking,
    timeline,
)
from grafana.boards.promql import grown, increase, moved, per, rate, top, whole

_BUILD: Final = "image_build_duration_seconds"


_ENDED: Final = increase(
    "rollouts_total", "plugin, outcome", where='@,outcome!="started"', window="24h"
)


def _day(metric: str, where: str = "@") -> str:
    return whole(increase(metric, where=where, window="24h"))


BOARD: Final = Board(
    uid="orchestrator-delivery",
    title="Orchestrator / Delivery",
    about="GitOps, rollouts, drift and events.",
    rows=(
        Row(
            panels=(
                number(
                    "Rollbacks, 24 h",
                    _day("rollouts_total", '@,outcome="rolled_back"'),
                    steps=ANY_IS_BAD,
                    filled=True,
                    decimals=0,
                ),
                number(
                    "Drift not healed",
                    "sum(orchestrator_reconcile_drift_unhealed{@}) or vector(0)",
                    steps=ANY_IS_BAD,
                    filled=True,
                    decimals=0,
                    about="Containers that somebody changed, and that are not set back yet.",
                ),
                number(
                    "Rollouts, 24 h",
                    _day("rollouts_total", '@,outcome="completed"'),
                    decimals=0,
                ),
                fact("Git", "orchestrator_gitops_state{@} == 1", "{{state}}"),
                number(
                    "Last synced",
                    "1000 * max(orchestrator_gitops_last_success_seconds{@} > 0)",
                    unit="dateTimeFromNow",
                    spark=False,
                    none="no git",
                ),
                number(
                    "Failed syncs, 24 h",
                    _day("gitops_failures_total"),
                    steps=ANY_IS_ODD,
                    decimals=0,
                ),
                number(
                    "Events that wait",
                    "sum(orchestrator_events_pending{@}) or vector(0)",
                    decimals=0,
                    steps=((None, "blue"), (1000, "orange")),
                ),
                number(
                    "Dead letters",
                    "sum(orchestrator_events_dead{@}) or vector(0)",
                    steps=ANY_IS_ODD,
                    decimals=0,
                ),
            ),
        ),
        Row(
            title="Rollouts and drift",
            panels=(
                lines(
                    "Rollouts by outcome",
                    per("outcome", moved("rollouts_total", "outcome")),
                    unit="short",
                    bars=True,
                    colors=ROLLOUTS,
                ),
                ranking(
                    "By plugin, 24 h",
                    top(10, f"round({_ENDED}) > 0"),
                    "{{plugin}}: {{outcome}}",
                    unit="short",
                    steps=((None, "blue"),),
                    most=None,
                    width=8,
                ),
                lines(
                    "Drift by field",
                    per("field", moved("reconcile_drift_total", "field")),
                    unit="short",
                    bars=True,
                    about="Changes from outside that were found on running containers.",
                ),
                lines(
                    "Replicas that take calls",
                    ("sum by (plugin) (orchestrator_plugin_replicas{@})", "{{plugin}}"),
                    unit="short",
                    stacked=True,
                ),
                ranking(
                    "Replicas missing",
                    "topk(10, max by (plugin) (orchestrator_plugin_replicas_wanted{@}"
                    " - orchestrator_plugin_replicas{@}))",
                    unit="short",
                    steps=((None, "green"), (1, "red")),
                    most=None,
                    width=8,
                ),
                timeline(
                    "Fits this orchestrator",
                    "min by (plugin) (orchestrator_plugin_version_compatible{@})",
                    "{{plugin}}",
                    YES_IS_WELL,
                    width=8,
                    about="Within the plugin's min_core_version and max_core_version.",
                ),
            ),
        ),
        Row(
            title="Git and images",
            panels=(
                lines(
                    "State of the sync",
                    ("sum by (state) (orchestrator_gitops_state{@} == 1)", "{{state}}"),
                    unit="short",
                    stacked=True,
                    about="Empty without git.",
                    width=6,
                ),
                lines(
                    "Git: taken up, set back, failed",
                    (grown("gitops_syncs_total"), "revisions taken up"),
                    (grown("gitops_heals_total"), "changes set back"),
                    (grown("gitops_failures_total"), "failed"),
                    unit="short",
                    bars=True,
                    colors={
                        "revisions taken up": "green",
                        "changes set back": "orange",
                        "failed": "red",
                    },
                    width=6,
                ),
                lines(
                    "Image builds",
                    per("outcome", moved("image_builds_total", "outcome")),
                    unit="short",
                    bars=True,
                    width=6,
                ),
                lines(
                    "Time of image builds",
                    (
                        (
                            f"{rate(f'{_BUILD}_sum', window='1h')}"
                            f" / ({rate(f'{_BUILD}_count', window='1h')} > 0)"
                        ),
                        "average of an hour",
                    ),
                    (
                        f"histogram_quantile(0.95, {rate(f'{_BUILD}_bucket', 'le', window='1h')})",
                        "p95 of an hour",
                    ),
                    unit="s",
                    width=6,
                ),
            ),
        ),
        Row(
            title="Events",
            panels=(
                lines(
                    "Published",
                    per("publisher", rate("events_published_total", "publisher")),
                    unit="eps",
                    stacked=True,
                    width=6,
                ),
                lines(
                    "Delivered",
                    per("plugin", rate("events_delivered_total", "plugin")),
                    unit="eps",
                    stacked=True,
                    width=6,
                ),
                lines(
                    "Failed tries",
                    per("plugin", rate("events_failed_tries_total", "plugin")),
                    unit="eps",
                    stacked=True,
                    width=6,
                ),
                lines(
                    "Waiting and dead",
                    (
                        "sum by (plugin) (orchestrator_events_pending{@})",
                        "{{plugin}} waiting",
                    ),
                    ("sum by (plugin) (orchestrator_events_dead{@})", "{{plugin}} dead"),
                    unit="short",
                    width=6,
                ),
            ),
        ),
    ),
)
