"""What Grafana would ask Prometheus for one board: every target of every panel, over a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.prometheus import Prometheus
from tests.unit.grafana.boards import panels

POINTS = 240
MARK_SECONDS = 5.0
BAR_SECONDS = 5.0
"""Of the panels that have a least interval: a minute, where each ten seconds are seen."""
RATE_INTERVAL = "15s"
"""Of a Prometheus that looks each second."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """With everything chosen that can be chosen above a board."""

    source: Prometheus
    plugin: str
    start: float
    end: float

    def now(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.source.ask(
            "query", query=self._filled(expression), time=str(self.end)
        )["result"]
        return found

    def range(self, expression: str, step: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.source.ask(
            "query_range",
            query=self._filled(expression),
            start=str(self.start),
            end=str(self.end),
            step=str(step),
        )["result"]
        return found

    def _filled(self, expression: str) -> str:
        values = {
            "$__rate_interval": RATE_INTERVAL,
            "$__interval": f"{BAR_SECONDS:.0f}s",
            "$instance": ".*",
            "$plugin": self.plugin,
        }
        for name, value in values.items():
            expression = expression.replace(name, value)
        return expression


def collect(board: dict[str, Any], asker: Asker) -> dict[str, Any]:
    """The board, and its data by panel id."""
    return {
        "board": board,
        "from": asker.start * 1_000,
        "to": asker.end * 1_000,
        "plugin": asker.plugin,
        "data": {str(panel["id"]): list(_answers(panel, asker)) for panel in panels(board)},
        "marks": list(_marks(board, asker)),
    }


def _answers(panel: dict[str, Any], asker: Asker) -> Iterator[dict[str, Any]]:
    bars = "interval" in panel
    step = BAR_SECONDS if bars else max(1.0, (asker.end - asker.start) / POINTS)
    for target in panel.get("targets", ()):
        instant = target.get("instant")
        found = asker.now(target["expr"]) if instant else asker.range(target["expr"], step)
        yield {
            "refId": target["refId"],
            "series": [{**series, "name": _name(target, series["metric"])} for series in found],
        }


def _marks(board: dict[str, Any], asker: Asker) -> Iterator[dict[str, Any]]:
    for annotation in board["annotations"]["list"]:
        for series in asker.range(annotation["expr"], MARK_SECONDS):
            yield {"at": series["values"][0][0] * 1_000, "color": annotation["iconColor"]}


def _name(target: dict[str, Any], labels: dict[str, str]) -> str:
    legend = target["legendFormat"]
    if legend == "__auto":
        return next((value for key, value in labels.items() if key != "__name__"), "")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)
