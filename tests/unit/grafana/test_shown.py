"""What the boards show: every metric somewhere, everything of a plugin on its own, true bars."""

import re

import pytest

from grafana.boards.kit import BAR
from orchestrator.monitoring.metrics import METRICS
from tests.unit.grafana.boards import (
    BOARDS,
    exposed_names,
    expressions,
    load,
    named_metrics,
    panels,
)

NAMES = [path.name for path in BOARDS]


def test_every_metric_of_the_table_is_seen_on_some_board() -> None:
    shown = {
        name
        for board in NAMES
        for _, expression in expressions(load(board))
        for name in named_metrics(expression)
    }
    shown |= {name.removesuffix(suffix) for name in shown for suffix in ("_bucket", "_sum")}

    missing = {
        name
        for name in exposed_names()
        if name not in shown and not name.endswith(("_sum", "_count"))
    }
    assert missing == SEEN_OTHERWISE


SEEN_OTHERWISE = {
    "orchestrator_plugin_status",  # the boards show up, wanted and the sub-state, which say more
}


def test_the_plugins_board_leads_to_the_plugins_log_in_the_time_that_is_shown() -> None:
    board = load("plugin.json")
    [link] = [link for link in board["links"] if link["type"] == "link"]
    [variable] = [it for it in board["templating"]["list"] if it["name"] == "logs"]
    [words] = [panel for panel in panels(board) if panel["type"] == "text"]

    assert link["url"] == "${logs:raw}/plugins/${plugin}/logs?from=${__from}&to=${__to}"
    assert link["targetBlank"]
    assert f"({link['url']})" in words["options"]["content"]
    assert variable["hide"] == 2  # nobody chooses it
    shown = 'orchestrator_logs_page_info{address="http://127.0.0.1:8480",instance="a"}'
    [address] = re.findall(variable["regex"].strip("/"), shown)
    assert address == "http://127.0.0.1:8480"


def test_everything_of_a_plugin_is_on_its_board() -> None:
    asked = [
        name
        for _, expression in expressions(load("plugin.json"))
        if 'plugin=~"$plugin"' in expression
        for name in named_metrics(expression)
    ]
    shown = {re.sub("_(bucket|sum|count|info)$", "", name) for name in asked}
    of_plugins = {
        re.sub("_info$", "", name) for name, metric in METRICS.items() if "plugin" in metric.labels
    }

    assert of_plugins - shown == NOT_ON_ITS_BOARD


NOT_ON_ITS_BOARD = {
    "orchestrator_plugin_status",  # up, wanted and the sub-state are, which say more
}


@pytest.mark.parametrize("name", NAMES)
def test_a_bar_tells_what_grew_in_its_time_alone(name: str) -> None:
    """`increase` over `$__rate_interval` would show one restart in several bars."""
    bars = [
        panel
        for panel in panels(load(name))
        if panel["type"] == "timeseries"
        and panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "bars"
    ]
    overlapping = [
        panel["title"]
        for panel in bars
        for target in panel["targets"]
        if "offset $__interval" not in target["expr"] or "$__rate_interval" in target["expr"]
    ]

    assert overlapping == []
    assert [panel["title"] for panel in bars if panel.get("interval") != BAR] == []
