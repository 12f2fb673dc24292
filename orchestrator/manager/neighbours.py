"""FleetNeighbours: what the plugins are to each other, behind each one's host.sock."""

import uuid
from collections.abc import Callable

from orchestrator.events.bounds import EventsFull
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.doors import Doors
from orchestrator.manager.fleet import Fleet
from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Reply
from orchestrator.sandbox.callers import CallLedger, RunningCall
from orchestrator.sandbox.desk import invoke
from orchestrator.sandbox.host_api import Callee
from orchestrator.sandbox.host_events import Publication
from orchestrator.store.base import StoreUnavailable

Problem = Callable[[CallFailure], tuple[int, bytes]]


class FleetNeighbours:
    """Implements Neighbours over the fleet; one for all plugins."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        doors: Doors,
        ledger: CallLedger,
        bus: PluginEventBus,
        problem: Problem,
    ) -> None:
        self._fleet = fleet
        self._doors = doors
        self._ledger = ledger
        self._bus = bus
        self._problem = problem

    @property
    def callers(self) -> CallLedger:
        return self._ledger

    async def call(
        self, plugin_id: str, call: Call, body: bytes, *, inherited: RunningCall
    ) -> Reply | CallFailure:
        """The callee's own calls inherit what is left of the deadline, the depth and the chain."""
        door = self._doors.door(plugin_id)
        if door is None:
            detail = f"{plugin_id} is not running"
            code = FailureCode.PLUGIN_NOT_RUNNING
            self._doors.observer.ended(plugin_id, call, code, 0.0, 0.0)
            return CallFailure(code=code, detail=detail, repeat="safe")
        with self._ledger.serving(
            plugin_id,
            request_id=call.request_id,
            traceparent=call.traceparent,
            deadline_seconds=call.deadline_seconds,
            depth=inherited.depth,
            chain=inherited.chain,
        ):
            return await invoke(door, call, body)

    async def publish(self, publication: Publication) -> str:
        event = self._bus.event(
            publication.type,
            source=publication.source,
            subject=publication.subject,
            data=publication.data,
            traceparent=publication.traceparent,
        )
        try:
            accepted = await self._bus.accept(event, own_id=publication.event_id)
        except EventsFull as error:
            raise Refused(RefusalCode.EVENTS_FULL, str(error)) from error
        except StoreUnavailable as error:
            raise Refused(RefusalCode.STORE_UNAVAILABLE, str(error)) from error
        return accepted.event_id

    def find(self, plugin_id: str) -> Callee | None:
        deployment = self._fleet.deployments.get(plugin_id)
        if deployment is None:
            return None
        info = deployment.inputs.info
        return Callee(
            plugin_id=plugin_id,
            name=info.name,
            version=info.version,
            description=info.description,
            running=self._doors.door(plugin_id) is not None,
            tools=info.tools,
        )

    def failure(self, failure: CallFailure) -> tuple[int, bytes]:
        return self._problem(failure)

    def new_request_id(self) -> str:
        return str(uuid.uuid4())
