"""AnalyticsClient: what the daemon's API says of stored figures, beside the rest of it."""

from typing import Any, Final
from urllib.parse import quote, urlencode

from orchestrator.client.client import DaemonClient

REPORT_SECONDS: Final = 120.0
"""Of a large ecosystem over a long time."""


class AnalyticsClient(DaemonClient):
    """A DaemonClient with the specification's PluginAnalytics. All raise DaemonProblem."""

    def get_plugin_metrics(self, plugin_id: str, timeframe: str = "24h") -> dict[str, Any]:
        """Performance, usage, health and security of a plugin (plugin_not_found)."""
        query = urlencode({"timeframe": timeframe})
        path = f"/v1/analytics/plugins/{quote(plugin_id, safe='')}?{query}"
        answer: dict[str, Any] = self._json("GET", path, seconds=REPORT_SECONDS)
        return answer

    def generate_report(self, timeframe: str = "24h") -> dict[str, Any]:
        """The whole ecosystem (timeframe_invalid)."""
        query = urlencode({"timeframe": timeframe})
        answer: dict[str, Any] = self._json(
            "GET", f"/v1/analytics/report?{query}", seconds=REPORT_SECONDS
        )
        return answer

    def live(self) -> dict[str, Any]:
        """Every plugin as it is now, in totals: two answers tell of the time between them."""
        answer: dict[str, Any] = self._json("GET", "/v1/analytics/live")
        return answer
