"""Stored figures over HTTP: one plugin's, the report over all, and what `top` shows live."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.monitoring.analytics import PluginAnalytics
from orchestrator.monitoring.live import LiveView
from orchestrator.monitoring.timeframe import DEFAULT


class AnalyticsApi:
    """Three routes; nothing here changes anything."""

    def __init__(self, analytics: PluginAnalytics, live: LiveView) -> None:
        self._analytics = analytics
        self._live = live

    @property
    def trouble(self) -> str:
        """What keeps figures from being written; empty while they are."""
        return self._analytics.trouble

    def routes(self) -> list[Route]:
        return [
            Route("/v1/analytics/report", self.report, methods=["GET"]),
            Route("/v1/analytics/live", self.live, methods=["GET"]),
            Route("/v1/analytics/plugins/{plugin_id}", self.plugin, methods=["GET"]),
        ]

    async def report(self, request: Request) -> Response:
        return JSONResponse(await self._analytics.generate_report(_timeframe(request)))

    async def live(self, request: Request) -> Response:
        return JSONResponse(self._live.now())

    async def plugin(self, request: Request) -> Response:
        metrics = await self._analytics.get_plugin_metrics(
            request.path_params["plugin_id"], _timeframe(request)
        )
        return JSONResponse(metrics.as_dict())


def _timeframe(request: Request) -> str:
    return request.query_params.get("timeframe", DEFAULT)
