"""StackSupply: the images of the stack, had once for each daemon, with what stood in the way."""

from collections.abc import Awaitable, Callable
from typing import Final

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.monitoring.stack.parts import GRAFANA, StackImages

AGAIN_SECONDS: Final = 600.0
"""So much later an image that could not be had is asked for again."""
FAILED_SECONDS: Final = 120.0
"""The same of one without which nothing runs."""

Relay = Callable[[], Awaitable[str]]
"""The image that has Python. Raises BaseImageFailed."""
Prometheus = Callable[[str], Awaitable[str]]
"""By reference, or another way. Raises PrometheusImageFailed."""
Pull = Callable[[str], Awaitable[tuple[str, str]]]
"""(the id, why there is none)."""


class StackSupply:
    """Asked at every turn; answers from memory."""

    def __init__(self, *, relay: Relay, prometheus: Prometheus, pull: Pull, clock: Clock) -> None:
        self._relay = relay
        self._prometheus = prometheus
        self._pull = pull
        self._clock = clock
        self._had: StackImages | None = None
        self._again_at = 0.0
        self._failure: OrchestratorError | None = None
        self.missing: dict[str, str] = {}
        """Part → why there is no image of it."""

    def forget(self) -> None:
        """Ask for all anew: other images may be wanted."""
        self._had = self._failure = None
        self.missing = {}

    async def images(self, config: MonitoringConfig) -> StackImages:
        """Raises BaseImageFailed, PrometheusImageFailed and the engine's errors."""
        due = self._clock.monotonic() >= self._again_at
        if self._failure is not None and not due:
            raise self._failure
        if self._had is None or (self.missing and due):
            try:
                self._had = await self._ask(config)
            except OrchestratorError as error:
                self._failure = error
                self._again_at = self._clock.monotonic() + FAILED_SECONDS
                raise
            self._failure = None
        return self._had

    async def _ask(self, config: MonitoringConfig) -> StackImages:
        grafana, why_not = await self._pull(config.grafana_image)
        self.missing = {} if grafana else {GRAFANA: f"{config.grafana_image}: {why_not}"}
        self._again_at = self._clock.monotonic() + AGAIN_SECONDS
        had = self._had
        return StackImages(
            relay=had.relay if had else await self._relay(),
            prometheus=had.prometheus if had else await self._prometheus(config.prometheus_image),
            grafana=grafana,
        )
