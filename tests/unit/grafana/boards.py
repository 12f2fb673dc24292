"""Reading the committed dashboards: panels, targets, expressions."""

import json
import re
from collections.abc import Iterator
from typing import Any

from orchestrator.monitoring.metrics import CUSTOM_PREFIX, METRICS, MetricKind
from tests.unit.pages import ROOT

FOLDER = ROOT / "grafana" / "dashboards"
BOARDS = sorted(FOLDER.glob("*.json"))
RULES = sorted((ROOT / "grafana" / "prometheus" / "rules").glob("*.yaml"))
_EXPOSED = {
    MetricKind.COUNTER: ("",),
    MetricKind.GAUGE: ("",),
    MetricKind.HISTOGRAM: ("_bucket", "_sum", "_count"),
    MetricKind.INFO: ("_info",),
}


def load(name: str) -> dict[str, Any]:
    board: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return board


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Without the rows' headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels(board):
        for target in panel.get("targets", ()):
            yield panel["title"], target


def expressions(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of every panel, annotation and variable, with the name of where it stands."""
    for title, target in targets(board):
        yield f"{title} {target['refId']}", target["expr"]
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]


def exposed_names() -> set[str]:
    """The names as /metrics has them; `_info` and `_total` may stand in the table already."""
    names = set()
    for metric in METRICS.values():
        for suffix in _EXPOSED[metric.kind]:
            names.add(metric.name if metric.name.endswith(suffix) else metric.name + suffix)
    return names


def named_metrics(expression: str) -> set[str]:
    """The orchestrator's metrics that an expression speaks of."""
    bare = expression.replace(CUSTOM_PREFIX, "")
    return set(re.findall(r"\borchestrator_\w+", bare))
