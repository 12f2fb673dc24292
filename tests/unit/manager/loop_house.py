"""LoopHouse: the reconcile loop over an in-memory engine; what steps do is the test's to say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from orchestrator.clock import SystemClock
from orchestrator.engine.base import LABEL_INSTANCE
from orchestrator.engine.memory import MemoryEngine
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.doors import Doors
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.loop import ReconcileLoop
from orchestrator.manager.observe import Observer
from orchestrator.manager.steps import Steps
from orchestrator.model.events import PluginEvent
from orchestrator.model.policy import ReconcilePolicy, SecurityPolicy
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.store.memory import MemoryStore

LABELS = {LABEL_INSTANCE: "one"}
PATIENCE_SECONDS = 20.0
Perform = Callable[[Any], Awaitable[None]]


async def until(check: Callable[[], bool]) -> None:
    """Fails when it does not come true within a generous time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if check():
                return
            await asyncio.sleep(0.01)


class PlayedSteps:
    """Steps that do what the test says, and take down what was asked of them."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.play: Perform | None = None

    async def perform(self, action: Any, policy: SecurityPolicy) -> None:
        self.taken.append(action)
        if self.play is not None:
            await self.play(action)


class LoopHouse:
    """`running` is the loop's life."""

    def __init__(self, *, full_pass_seconds: int = 3_600) -> None:
        self.engine = MemoryEngine()
        self.fleet = Fleet(store=MemoryStore())
        self.told: list[PluginEvent] = []
        self.bus = PluginEventBus(clock=SystemClock(), instance="one")
        self.bus.listen(self.told.append)
        self.observer = Observer(labels=LABELS, engine=self.engine, fleet=self.fleet, bus=self.bus)
        self.steps = PlayedSteps()
        self.wheel = DeadlineWheel(asyncio.get_running_loop())
        self.loop = ReconcileLoop(
            fleet=self.fleet,
            engine=self.engine,
            observer=self.observer,
            steps=cast("Steps", self.steps),
            doors=Doors(fleet=self.fleet, wheel=self.wheel, clock=SystemClock()),
            bus=self.bus,
            clock=SystemClock(),
        )
        reconcile = ReconcilePolicy(full_pass_seconds=full_pass_seconds)
        self.fleet.policy = SecurityPolicy(reconcile=reconcile)

    def want(self, *deployments: Deployment) -> None:
        self.fleet.deployments = {it.plugin_id: it for it in deployments}
        self.fleet.images |= {it.inputs.image for it in deployments}
        self.fleet.told = True
        self.loop.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LoopHouse"]:
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.loop.run())
                yield self
                task.cancel()

    async def until(self, check: Callable[[], bool]) -> None:
        await until(check)

    def types(self) -> list[str]:
        return [event.type.removeprefix("orchestrator.") for event in self.told]
