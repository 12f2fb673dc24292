"""Internals: whether the orchestrator itself is well, and has room."""

from typing import Final

from grafana.boards.grid import Board, Row
from grafana.boards.kit import (
    ANY_IS_ODD,
    QUANTILES,
    SHARE_OF_LIMIT,
    YES_IS_WELL,
    fact,
    lines,
    number,
    timeline,
)
from grafana.boards.promql import increase, moved, per, quantiles, rate, whole

_SCRAPE: Final = 'job="orchestrator",instance=~"$instance"'

BOARD: Final = Board(
    uid="orchestrator-internals",
    title="Orchestrator / Internals",
    about="The daemon, its engine, and what the host has room for.",
    rows=(
        Row(
            panels=(
                number(
                    "Daemon scraped",
                    f"min(up{{{_SCRAPE}}})",
                    texts=YES_IS_WELL,
                    filled=True,
                    spark=False,
                ),
                number(
                    "Engine answers",
                    "min(orchestrator_engine_up{@})",
                    texts=YES_IS_WELL,
                    filled=True,
                    spark=False,
                ),
                fact("Version", "orchestrator_build_info{@}", "{{version}}"),
                number(
                    "Running since",
                    "1000 * max(orchestrator_daemon_started_at_seconds{@})",
                    unit="dateTimeFromNow",
                    spark=False,
                ),
                number("Memory", "max(orchestrator_daemon_memory_bytes{@})", unit="bytes"),
                number(
                    "CPU",
                    rate("daemon_cpu_seconds_total"),
                    unit="percentunit",
                    about="Of one core.",
                ),
                number(
                    "Loop lag",
                    "max(orchestrator_daemon_loop_lag_seconds{@})",
                    unit="s",
                    steps=((None, "green"), (0.1, "orange"), (1, "red")),
                    about="By how much the event loop was last late: calls wait as long.",
                ),
                number(
                    "Task failures, 24 h",
                    whole(increase("daemon_task_failures_total", window="24h")),
                    steps=ANY_IS_ODD,
                    decimals=0,
                ),
            ),
        ),
        Row(
            title="The reconcile loop",
            panels=(
                lines(
                    "Time of a pass",
                    *quantiles("reconcile_duration_seconds", 50, 95, 99),
                    unit="s",
                    colors=QUANTILES,
                ),
                lines(
                    "Passes",
                    (rate("reconcile_duration_seconds_count"), "passes"),
                    unit="ops",
                ),
                timeline(
                    "Engine answers",
                    "min by (instance) (orchestrator_engine_up{@})",
                    "engine of {{instance}}",
                    YES_IS_WELL,
                    width=8,
                ),
            ),
        ),
        Row(
            title="The daemon",
            panels=(
                lines(
                    "Memory",
                    ("max by (instance) (orchestrator_daemon_memory_bytes{@})", "{{instance}}"),
                    unit="bytes",
                    width=6,
                ),
                lines(
                    "CPU",
                    per("instance", rate("daemon_cpu_seconds_total", "instance")),
                    unit="percentunit",
                    about="Of one core.",
                    width=6,
                ),
                lines(
                    "Loop lag",
                    ("max by (instance) (orchestrator_daemon_loop_lag_seconds{@})", "{{instance}}"),
                    unit="s",
                    width=6,
                ),
                lines(
                    "File descriptors",
                    ("max by (instance) (orchestrator_daemon_open_fds{@})", "{{instance}}"),
                    unit="short",
                    width=6,
                ),
                lines(
                    "Tasks that failed",
                    per("task", moved("daemon_task_failures_total", "task")),
                    unit="short",
                    bars=True,
                    about="Each is begun anew.",
                    width=8,
                ),
                lines(
                    "Time to make /metrics",
                    ("max by (instance) (orchestrator_scrape_duration_seconds{@})", "made"),
                    (f"max by (instance) (scrape_duration_seconds{{{_SCRAPE}}})", "fetched"),
                    unit="s",
                    width=8,
                ),
                lines(
                    "Series",
                    (f"max by (instance) (scrape_samples_scraped{{{_SCRAPE}}})", "{{instance}}"),
                    unit="short",
                    width=8,
                ),
            ),
        ),
        Row(
            title="Room on the host, and handed-in code",
            panels=(
                lines(
                    "Memory promised",
                    ("max by (instance) (orchestrator_host_memory_promised_bytes{@})", "promised"),
                    ("max by (instance) (orchestrator_host_memory_admitted_bytes{@})", "limit"),
                    unit="bytes",
                    limit="limit",
                    about="Sum of the plugins' limits; the limit is policy.memory_overcommit's.",
                    width=6,
                ),
                number(
                    "Promised of what may be",
                    "max(orchestrator_host_memory_promised_bytes{@}"
                    " / orchestrator_host_memory_admitted_bytes{@})",
                    unit="percentunit",
                    steps=SHARE_OF_LIMIT,
                    decimals=0,
                    width=6,
                ).height(8),
                lines(
                    "Time of code runs",
                    *quantiles("code_run_duration_seconds", 50, 95),
                    unit="s",
                    colors=QUANTILES,
                    width=6,
                ),
                lines(
                    "Warm sandboxes",
                    ("sum(orchestrator_code_pool_waiting{@})", "waiting"),
                    ("sum(orchestrator_code_pool_starting{@})", "starting"),
                    ("sum(orchestrator_code_pool_size{@})", "limit"),
                    unit="short",
                    limit="limit",
                    width=6,
                ),
            ),
        ),
    ),
)
