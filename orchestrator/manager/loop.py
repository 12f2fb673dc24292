"""ReconcileLoop: look, plan, act; again whenever something happened, and from time to time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_SANDBOX, Engine, EngineFailure, EngineUnavailable
from orchestrator.errors import OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.actions import (
    WHOLE,
    Action,
    Adopt,
    Kill,
    Launch,
    Mend,
    Pause,
    Prepare,
    Remove,
    Resume,
    SetCpu,
    Start,
)
from orchestrator.manager.bring_up import StartFailed
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.doors import Doors
from orchestrator.manager.drift_watch import DriftWatch
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.hints import ENGINE_RETRY_SECONDS, hear
from orchestrator.manager.jumps import Jumps
from orchestrator.manager.mishaps import Pauses, attempt
from orchestrator.manager.observe import Observer
from orchestrator.manager.plan import plan
from orchestrator.manager.rebuilding import leave_alone
from orchestrator.manager.restart import note_failure
from orchestrator.manager.steps import Steps
from orchestrator.model.events import EventName
from orchestrator.model.policy import SecurityPolicy

IN_WORDS: Final[dict[type, str]] = {
    Prepare: "preparing its image",
    Start: "starting",
    Launch: "starting",
    Adopt: "adopting",
    Kill: "stopping",
    Remove: "stopping",
    Pause: "going to sleep",
    Resume: "waking up",
    SetCpu: "repairing its CPU limit",
    Mend: "setting back what somebody changed",
}


Judge = Callable[[float, SecurityPolicy], Awaitable[float | None]]
"""Says what becomes of revisions; when to come again though nothing happened."""


class ReconcileLoop:
    """One pass at a time; steps of different plugins run side by side."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        engine: Engine,
        observer: Observer,
        steps: Steps,
        doors: Doors,
        bus: PluginEventBus,
        clock: Clock,
        judge: Judge | None = None,
    ) -> None:
        self._fleet = fleet
        self._engine = engine
        self._observer = observer
        self._steps = steps
        self.doors = doors
        doors.wake = self.wake
        self._judge = judge
        self._bus = bus
        self._clock = clock
        self.timed: Callable[[float], object] = lambda _seconds: None
        """Told how long each pass took."""
        self._woken = asyncio.Event()
        self._passed = asyncio.Condition()
        self._engine_lost = ""
        self._pauses = Pauses()
        self._drift = DriftWatch(fleet=fleet, bus=bus)
        self._jumps = Jumps(fleet, clock)
        self._full_at = 0.0
        """When everything is listed anew, though no event said so; of the monotonic clock."""

    @property
    def engine_lost(self) -> str:
        """Why the engine cannot be reached; empty while it can."""
        return self._engine_lost

    def wake(self) -> None:
        """Something changed: pass again."""
        self._woken.set()

    async def passed(self) -> None:
        """Wait for the end of the next pass."""
        async with self._passed:
            await self._passed.wait()

    async def run(self) -> None:
        """For ever, until cancelled. Steps under way are cut off then, and planned anew later."""
        async with asyncio.TaskGroup() as group:
            since = self._clock.now()
            group.create_task(hear(self._engine, self._observer, self.wake, since=since))
            while True:
                began = self._clock.monotonic()
                wake_at = await self._pass(group)
                self.timed(self._clock.monotonic() - began)
                async with self._passed:
                    self._passed.notify_all()
                await self._sleep(wake_at)

    async def _pass(self, group: asyncio.TaskGroup) -> float | None:
        self._woken.clear()
        now = self._clock.now()
        self._jumps.settle(now)
        if self._clock.monotonic() >= self._full_at:
            self._full_at = self._clock.monotonic() + self._fleet.policy.reconcile.full_pass_seconds
            self._observer.doubt_all()
        try:
            unsure = await self._observer.look(now)
        except (EngineUnavailable, EngineFailure) as error:
            self._lose_engine(error)
            self._observer.doubt_all()
            return now + ENGINE_RETRY_SECONDS
        self._find_engine()
        self._drift.look(now)
        if not self._fleet.told:
            return None
        leave_alone(self._fleet)
        judge_at = await self._judge(now, self._fleet.policy) if self._judge else None
        wants, seen = self._fleet.wants(), self._fleet.seen()
        result = plan(
            wants,
            seen,
            self._fleet.histories,
            busy=self._fleet.busy.beside({*unsure, *((n, WHOLE) for n in self._fleet.unread)}),
            now=now,
        )
        self._fleet.waiting = dict(result.waiting)
        self._fleet.drop_unused()
        # Before any step: what is about to go takes no more calls.
        self._fleet.route(wants, seen)
        self.doors.settle()
        for action in result.actions:
            self._fleet.busy.begin(action.plugin_id, action.key, IN_WORDS[type(action)])
            group.create_task(self._perform(action))
        wakes = (result.wake_at, judge_at, self._next_sleep(now))
        return min((at for at in wakes if at is not None), default=None)

    def _next_sleep(self, now: float) -> float | None:
        """When the next plugin goes to sleep if nobody calls it."""
        changes = (self._fleet.sleep(name)[1] for name in self._fleet.deployments)
        return min((now + seconds for seconds in changes if seconds is not None), default=None)

    async def _perform(self, action: Action) -> None:
        begun = self._fleet.deployments.get(action.plugin_id)
        words = f"{IN_WORDS[type(action)]} {action.plugin_id}"
        try:
            error = await attempt(self._steps.perform(action, self._fleet.policy), words)
            if isinstance(error, EngineUnavailable):
                self._observer.doubt_all()
            elif error is not None:
                self._note_failed(action, error, begun)
            await self._pause(action, error)
        finally:
            self._fleet.busy.end(action.plugin_id, action.key)
            if isinstance(action, Start):
                self._observer.doubt_all()
            elif not isinstance(action, Prepare):
                self._observer.doubt(action.container_id)
            self.wake()

    def _note_failed(
        self, action: Action, error: OrchestratorError, begun: Deployment | None
    ) -> None:
        reason = error.reason if isinstance(error, StartFailed) else error.code
        data = {"reason": reason, "detail": str(error)}
        self._bus.publish(EventName.PLUGIN_START_FAILED, action.plugin_id, data)
        if isinstance(error, StartFailed):
            return  # its container was killed, and that end is what counts
        if begun is not None and self._fleet.is_stale(begun):
            return  # what failed is wanted no more; what is wanted now has not failed
        sandbox_id = self._sandbox_id(action)
        history = self._fleet.history(sandbox_id)
        self._fleet.remember(
            sandbox_id, note_failure(history, reason, detail=str(error), at=self._clock.now())
        )
        self._fleet.images.discard(self._image(action.plugin_id))

    async def _pause(self, action: Action, error: OrchestratorError | None) -> None:
        """Steps that bring a plugin up have their back-off; the others wait here, still busy."""
        if error is None or isinstance(error, EngineUnavailable):
            self._pauses.after_success(action)
        elif not isinstance(action, Prepare | Start | Launch):
            await asyncio.sleep(self._pauses.after_failure(action))

    def _sandbox_id(self, action: Action) -> str:
        """Whose failure it is; that of an image is the first replica's."""
        if isinstance(action, Start):
            return action.sandbox_id
        container = (
            None if isinstance(action, Prepare) else self._fleet.containers.get(action.container_id)
        )
        if container is not None:
            return container.label(LABEL_SANDBOX)
        deployment = self._fleet.deployments.get(action.plugin_id)
        return deployment.compiled.sandbox_id if deployment is not None else action.plugin_id

    def _image(self, plugin_id: str) -> str:
        deployment = self._fleet.deployments.get(plugin_id)
        return deployment.inputs.image if deployment is not None else ""

    async def _sleep(self, wake_at: float | None) -> None:
        seconds = max(0.0, self._full_at - self._clock.monotonic())
        if wake_at is not None:
            seconds = min(seconds, max(0.0, wake_at - self._clock.now()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _lose_engine(self, error: OrchestratorError) -> None:
        if not self._engine_lost:
            self._bus.publish(EventName.ENGINE_LOST, data={"detail": str(error)})
        self._engine_lost = str(error)

    def _find_engine(self) -> None:
        if self._engine_lost:
            self._engine_lost = ""
            self._bus.publish(EventName.ENGINE_FOUND)
