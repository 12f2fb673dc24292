"""The API beside the calls: state of the daemon and its plugins, desired state, logs, events."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import Field, JsonValue, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.engine.base import Probe
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.backups import Backups
from orchestrator.manager.drift_watch import container_drift
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.plugin_logs import PluginLogs
from orchestrator.manager.preview import described
from orchestrator.manager.rollout_commands import failed_row
from orchestrator.manager.statuses import state_trouble, status, statuses
from orchestrator.model.base import Model
from orchestrator.model.events import as_cloud_event
from orchestrator.model.status import LastWords
from orchestrator.monitoring.stack.stack import MonitoringStack
from orchestrator.policy.explain import explain
from orchestrator.sandbox.code import CodeSandbox
from orchestrator.server.analytics_routes import AnalyticsApi
from orchestrator.server.audit_routes import AuditApi
from orchestrator.server.backup_routes import backup_route
from orchestrator.server.code_route import code_route
from orchestrator.server.event_routes import EventApi
from orchestrator.server.gitops_routes import GitOpsApi
from orchestrator.server.metrics_server import MetricsListener, metrics_route
from orchestrator.server.permission_routes import PermissionApi
from orchestrator.server.problems import PROBLEM_TYPE, RETRY_AFTER_SECONDS, error_problem
from orchestrator.server.query import BadRequest, number
from orchestrator.server.rollout_routes import RolloutApi
from orchestrator.server.switch_routes import SwitchApi
from orchestrator.server.ui_server import UiListener, logs_page_route, ui_route
from orchestrator.store.audit_log import AuditLog

EVENTS_SHOWN: Final = 20
T = TypeVar("T", bound=Model)


class ApplyRequest(Model):
    """`PUT /v1/desired`: absolute paths on the daemon's own machine."""

    paths: tuple[str, ...] = Field(min_length=1)
    config: str | None = None
    monitoring: bool | None = None
    """Whether the monitoring stack is to run, whatever the file says; None: as it was."""
    environment: str | None = None


class ShutdownRequest(Model):
    """`POST /v1/shutdown`: leave the plugins running, or take everything down first."""

    down: bool = False
    volumes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the daemon is: fixed for its life."""

    pid: int
    version: str
    supervisor: str
    """Who starts the daemon anew when it ends; empty: nobody."""
    instance: str
    home: str
    log_file: str
    started_at: float


class Api:
    """The routes; each is short, because what it does lies below."""

    def __init__(
        self,
        *,
        facts: Facts,
        manager: PluginManager,
        logs: PluginLogs,
        probe: Probe,
        bus: PluginEventBus,
        audit: AuditLog,
        code: CodeSandbox,
        ui: UiListener,
        permissions: PermissionApi,
        events: EventApi,
        rollouts: RolloutApi,
        switch: SwitchApi,
        gitops: GitOpsApi,
        backups: Backups,
        analytics: AnalyticsApi,
        metrics: MetricsListener,
        stack: MonitoringStack,
        now: Callable[[], float],
        shut_down: Callable[[], None],
    ) -> None:
        self._facts = facts
        self._manager = manager
        self._logs = logs
        self._probe = probe
        self._bus = bus
        self._audit = audit
        self._code = code
        self._ui = ui
        self._permissions = permissions
        self._events = events
        self._rollouts = rollouts
        self._switch = switch
        self._gitops = gitops
        self._backups = backups
        self._analytics = analytics
        self._metrics = metrics
        self._stack = stack
        self._now = now
        self._shut_down = shut_down

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/status", self.status, methods=["GET"]),
                Route("/v1/desired", self.apply, methods=["PUT"]),
                Route("/v1/plugins", self.plugins, methods=["GET"]),
                Route("/v1/plugins/{plugin_id}", self.plugin, methods=["GET"]),
                Route("/v1/plugins/{plugin_id}/logs", self.logs, methods=["GET"]),
                Route("/v1/shutdown", self.shutdown, methods=["POST"]),
                *AuditApi(self._audit).routes(),
                code_route(self._code),
                *self._permissions.routes(),
                *self._events.routes(),
                *self._rollouts.routes(),
                *self._switch.routes(),
                *self._gitops.routes(),
                ui_route(self._ui),
                logs_page_route(self._ui),
                backup_route(self._backups),
                *self._analytics.routes(),
                metrics_route(self._metrics.scrape),
                Route("/v1/monitoring", self.monitoring, methods=["GET"]),
            ],
            exception_handlers={OrchestratorError: _problem},
        )

    async def status(self, request: Request) -> Response:
        try:
            engine: dict[str, JsonValue] = asdict(await self._probe.info())
        except OrchestratorError as error:
            engine = {"error": str(error)}
        facts: dict[str, JsonValue] = {
            "pid": self._facts.pid,
            "version": self._facts.version,
            "supervisor": self._facts.supervisor,
            "instance": self._facts.instance,
            "uptime_seconds": round(self._now() - self._facts.started_at, 3),
            "state_folder": self._facts.home,
            "log_file": self._facts.log_file,
            "plugins": len(self._manager.fleet.deployments),
            "state_trouble": state_trouble(self._manager.fleet)
            or self._audit.trouble
            or self._events.desk.trouble
            or self._analytics.trouble,
            "metrics": self._metrics.state,
            "monitoring": asdict(self._stack.state()),
            "audit_entries_lost": self._audit.lost,
            "engine": engine,
        }
        return JSONResponse(facts)

    async def apply(self, request: Request) -> Response:
        wish = await _body(request, ApplyRequest)
        names = await self._manager.apply(
            [Path(path) for path in wish.paths],
            Path(wish.config) if wish.config is not None else None,
            wish.environment,
            monitoring=wish.monitoring,
        )
        return JSONResponse({"plugins": names})

    async def monitoring(self, request: Request) -> Response:
        return JSONResponse(asdict(self._stack.state()))

    async def plugins(self, request: Request) -> Response:
        return JSONResponse([asdict(row) for row in statuses(self._manager.fleet)])

    async def plugin(self, request: Request) -> Response:
        plugin_id = request.path_params["plugin_id"]
        deployment = self._manager.deployment(plugin_id)
        fleet = self._manager.fleet
        row = status(fleet, plugin_id)
        report = fleet.report(plugin_id)
        history = fleet.plugin_history(plugin_id)
        details: dict[str, JsonValue] = {
            **(asdict(row) if row is not None else {}),
            "name": deployment.inputs.info.name,
            "origin": deployment.inputs.origin,
            "image": deployment.inputs.image,
            "may": list(explain(deployment.grant)),
            "tools": [tool.name for tool in deployment.inputs.info.tools],
            "dependencies": list(deployment.dependencies),
            "events_waiting": self._events.desk.pending().get(plugin_id, 0),
            "calls_in_flight": fleet.in_flight(plugin_id),
            "container_drift": container_drift(fleet, plugin_id),
            "disk_enforced_by": fleet.disks.get(plugin_id, ""),
            "network": fleet.networks.get(plugin_id),
            "report": asdict(report) if report is not None else None,
            "last_failure": {"reason": history.reason, "detail": history.detail}
            if history.reason
            else None,
            "recent_failures": len(history.failures),
            "last_words": asdict(fleet.last_words.get(plugin_id, LastWords())),
            "failed_revision": failed_row(self._manager.rollouts.of(plugin_id)),
            "deployment": described(deployment),
            "events": [
                as_cloud_event(event)
                for event in self._bus.latest(subject=plugin_id, count=EVENTS_SHOWN)
            ],
        }
        return JSONResponse(details)

    async def logs(self, request: Request) -> Response:
        lines = self._logs.lines(
            request.path_params["plugin_id"],
            follow=request.query_params.get("follow") == "1",
            since=number(request, "since"),
            tail=int(number(request, "tail")) or None,
        )

        async def text() -> AsyncIterator[bytes]:
            async with aclosing(lines):
                async for line in lines:
                    yield json.dumps(asdict(line)).encode() + b"\n"

        return StreamingResponse(text(), media_type="application/x-ndjson")

    async def shutdown(self, request: Request) -> Response:
        wish = await _body(request, ShutdownRequest)
        swept = (0, 0)
        if wish.down:
            self._gitops.commands.forget()  # it would bring everything back
            await self._code.close()
            await self._stack.close()
            swept = await self._manager.down(with_volumes=wish.volumes)
        self._shut_down()
        return JSONResponse({"containers": swept[0], "volumes": swept[1]})


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, OrchestratorError):
        raise error
    status_code, body = error_problem(error)
    later = error.kind is Kind.OVERLOADED
    return Response(
        body,
        status_code=status_code,
        media_type=PROBLEM_TYPE,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)} if later else None,
    )


async def _body(request: Request, model: type[T]) -> T:
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"request body: {field}: {first['msg']}") from error
