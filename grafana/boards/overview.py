"""Overview: what is wrong, and where, in ten seconds."""

from typing import Final

from grafana.boards.grid import Board, Row
from grafana.boards.kit import (
    ANY_IS_BAD,
    ANY_IS_ODD,
    OUTCOMES,
    QUANTILES,
    SECONDS_OF_CALL,
    STATES,
    SUCCESS,
    lines,
    number,
    ranking,
    timeline,
)
from grafana.boards.overview_tables import firing, offenders
from grafana.boards.promql import (
    LATELY,
    LATENCY,
    cpu_share,
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

_DOWN: Final = "sum(orchestrator_plugin_wanted{@} > bool orchestrator_plugin_up{@})"

_HEAD: Final = Row(
    panels=(
        number(
            "Plugins down",
            whole(_DOWN),
            steps=ANY_IS_BAD,
            filled=True,
            decimals=0,
            about="Wanted, and not taking calls.",
        ),
        number(
            "Alerts firing",
            whole('count(ALERTS{alertstate="firing"})'),
            steps=ANY_IS_BAD,
            filled=True,
            decimals=0,
            about="Of all rules; the list below names them.",
        ),
        number("Plugins up", "sum(orchestrator_plugin_up{@})", decimals=0),
        number(
            "Success rate",
            succeeded("@", window=LATELY),
            unit="percentunit",
            steps=SUCCESS,
            decimals=2,
            none="no calls",
            spark=False,
            about="Of five minutes, without what callers did wrong: invalid input, unknown tools.",
        ),
        number(
            "Calls",
            rate("plugin_calls_total", window=LATELY),
            spark=False,
            unit="reqps",
            decimals=1,
            none="0",
            about="Of five minutes, as in the table below.",
        ),
        number(
            "Latency p95",
            quantile(0.95, LATENCY, window=LATELY) + " > 0",
            spark=False,
            unit="s",
            steps=SECONDS_OF_CALL,
            none="no calls",
            about="Of five minutes, waiting included.",
        ),
        number(
            "Refusals, 1 h",
            whole(increase("security_refusals_total", window="1h")),
            steps=((None, "green"), (1, "orange"), (100, "red")),
            decimals=0,
            about="What brokers and policy refused.",
        ),
        number(
            "Dead letters",
            whole("sum(orchestrator_events_dead{@})"),
            steps=ANY_IS_ODD,
            decimals=0,
            about="Events that no try delivered, still kept.",
        ),
    )
)

_WRONG: Final = Row(
    title="What is wrong",
    panels=(
        firing(),
        timeline(
            "Plugins over time",
            state("@", "plugin"),
            "{{plugin}}",
            STATES,
            width=12,
            about="Red: wanted, and not taking calls. Grey: stopped, as is wanted.",
        ),
        offenders(),
    ),
)

_CALLS: Final = Row(
    title="Calls",
    panels=(
        lines(
            "Calls by outcome",
            per("outcome", rate("plugin_calls_total", "outcome") + " > 0"),
            unit="reqps",
            stacked=True,
            colors=OUTCOMES,
        ),
        lines(
            "Latency",
            *quantiles(LATENCY, 50, 95, 99),
            unit="s",
            colors=QUANTILES,
            about="From dispatch to the last byte, waiting included.",
        ),
        lines(
            "Busiest plugins",
            per("plugin", top(6, rate("plugin_calls_total", "plugin"))),
            unit="reqps",
            table=True,
        ),
    ),
)

_SATURATION: Final = Row(
    title="Saturation: how near the limits",
    panels=(
        ranking("Memory", top(8, share("memory_bytes", "memory_limit_bytes"))),
        ranking("CPU", top(8, cpu_share())),
        ranking("Disk", top(8, share("disk_bytes", "disk_limit_bytes"))),
        ranking("Calls in flight", top(8, share("calls_in_flight", "calls_in_flight_limit"))),
    ),
)

BOARD: Final = Board(
    uid="orchestrator-overview",
    title="Orchestrator / Overview",
    about="Whether all plugins are well; if not, which and why.",
    rows=(_HEAD, _WRONG, _CALLS, _SATURATION),
)
