"""PluginNetworks: which plugins have a network behind the guard, and what they have used of it.

Level-triggered, like the loop beside which it runs: `tend` looks at what is there, takes away the
networks that nobody wants, has plugins replaced that lost theirs, and books what went through.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.engine.repairs import Repairs
from orchestrator.errors import OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.actions import WHOLE
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.drift import Cure
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.guard_answers import GuardCounters
from orchestrator.manager.meters import Account, Meters
from orchestrator.manager.network_guard import Guarded, NetworkGuard
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.events import EventName
from orchestrator.model.permissions import NetworkAccess
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.guard import guard_rules
from orchestrator.sandbox.sandbox import SandboxState

LABEL_JOINS: Final = "orchestrator.joins"
"""The pause whose network a plugin's container is in; it can join no other."""
TURN_SECONDS: Final = 5.0
SEARCH_SECONDS: Final = 60.0
REST_SECONDS: Final = 40.0
"""Longest time between two looks at the counters of a network that is not used."""
SMALLEST_REST_BYTES: Final = 1_500
"""Less than a packet: not worth a new quota."""
LARGEST_PACKET_BYTES: Final = 65_536
"""The kernel hands packets over in bundles: one that finds no room leaves at most this much."""


@dataclass(slots=True, kw_only=True)
class _Rhythm:
    """When a plugin's counters are read next: often while it sends, seldom while it does not."""

    due: float = 0.0
    seconds: float = TURN_SECONDS

    def next(self, now: float, *, moved: bool) -> None:
        self.seconds = TURN_SECONDS if moved else min(2 * self.seconds, REST_SECONDS)
        self.due = now + self.seconds


class PluginNetworks:
    """The guard's only user. Steps call it on the way up and down; `run` does the rest."""

    def __init__(
        self,
        *,
        guard: NetworkGuard,
        meters: Meters,
        fleet: Fleet,
        bus: PluginEventBus,
        clock: Clock,
        repairs: Repairs | None = None,
    ) -> None:
        self._repairs = repairs
        self._strays: set[tuple[str, str]] = set()
        """Pauses and networks that were told and cannot be parted."""
        self._guard = guard
        self._meters = meters
        self._fleet = fleet
        self._bus = bus
        self._clock = clock
        self._rhythms: dict[str, _Rhythm] = {}
        self._search_at = 0.0
        """When networks are looked for that have no pause."""

    async def run(self, policy: Callable[[], SecurityPolicy]) -> None:
        """For ever, until cancelled; `policy` is asked anew each time."""
        try:
            with contextlib.suppress(OrchestratorError):
                await self._guard.clear()
            while True:
                await asyncio.sleep(TURN_SECONDS)
                try:
                    await self._guard.clear()
                    await self.tend(policy())
                except OrchestratorError:
                    continue  # the engine is away: the loop says so, and the next turn looks again
        finally:
            self._meters.keep()

    async def provide(self, deployment: Deployment, policy: SecurityPolicy) -> dict[str, str]:
        """The network and the rules in it, in force on return; the container's further labels.

        Nothing without network_access. Raises GuardFailed, SubnetsExhausted, GuardImageFailed.
        """
        granted = _granted(deployment)
        if granted is None:
            return {}
        plugin_id = deployment.plugin_id
        account = self._meters.account(deployment, policy)
        counters = await self._read(plugin_id, account)
        used = counters.used_bytes if counters is not None else 0
        rules = replace(
            guard_rules(granted, deployment.grant.limits),
            quota_bytes=used + account.meter.left(),
        )
        await self._guard.ensure(plugin_id, rules, used_bytes=used)
        self._meters.keep()
        self._rhythms.pop(plugin_id, None)
        pause = await self._pause(plugin_id)
        return {LABEL_JOINS: pause.container_id} if pause is not None else {}

    def strayed(self, container: ContainerState, labels: dict[str, str]) -> bool:
        """Whether the container was made for another pause than `provide` has told."""
        return container.label(LABEL_JOINS) != labels.get(LABEL_JOINS, "")

    async def lost(self, container: ContainerState) -> bool:
        """Whether the network that the running container joined is gone."""
        if not container.label(LABEL_JOINS):
            return False
        pause = await self._pause(container.label(LABEL_PLUGIN))
        return pause is None or not _holds(pause, container)

    async def cut(self, plugin_id: str) -> None:
        """The emergency brake: within a second no packet passes, until the plugin starts anew."""
        await self._guard.cut(plugin_id)

    async def settle(self, plugin_id: str) -> None:
        """Take the plugin's network away if nobody wants it any more."""
        if not self._is_wanted(plugin_id) and not self._has_container(plugin_id):
            self._rhythms.pop(plugin_id, None)
            self._fleet.networks.pop(plugin_id, None)
            await self._guard.remove(plugin_id)

    async def tend(self, policy: SecurityPolicy) -> None:
        """One turn: see the module."""
        pauses = {pause.plugin_id: pause for pause in await self._guard.guarded()}
        for plugin_id in sorted(pauses.keys() | await self._networked()):
            if self._may_be_removed(plugin_id):
                # Marked, so that no step for it begins meanwhile.
                self._fleet.busy.begin(plugin_id, WHOLE, "removing its network")
                try:
                    await self.settle(plugin_id)
                finally:
                    self._fleet.busy.end(plugin_id, WHOLE)
        for guarded in pauses.values():
            await self._take_out(guarded)
        for container in list(self._fleet.containers.values()):
            self._see_whether_it_holds(container, pauses)
        for plugin_id, deployment in list(self._fleet.deployments.items()):
            pause = pauses.get(plugin_id)
            if pause is not None and pause.running and self._is_due(plugin_id):
                await self._look(deployment, policy)
        self._meters.keep()

    async def _networked(self) -> set[str]:
        """Now and then: every network costs a look of its own."""
        now = self._clock.monotonic()
        if now < self._search_at:
            return set()
        found = await self._guard.networked()
        self._search_at = now + SEARCH_SECONDS
        return found

    # -- the pauses -----------------------------------------------------------------------------

    async def _pause(self, plugin_id: str) -> Guarded | None:
        found = await self._guard.guarded()
        return next((it for it in found if it.plugin_id == plugin_id and it.running), None)

    def _is_wanted(self, plugin_id: str) -> bool:
        deployment = self._fleet.deployments.get(plugin_id)
        return (
            deployment is not None and deployment.running and _granted(deployment) is not None
        ) or plugin_id in self._fleet.unread

    def _has_container(self, plugin_id: str) -> bool:
        """Whether one is left that is in its network."""
        containers = self._fleet.containers.values()
        return any(c.label(LABEL_PLUGIN) == plugin_id and c.label(LABEL_JOINS) for c in containers)

    def _may_be_removed(self, plugin_id: str) -> bool:
        return (
            self._fleet.told
            and plugin_id not in self._fleet.busy
            and not self._is_wanted(plugin_id)
            and not self._has_container(plugin_id)
        )

    def _see_whether_it_holds(self, container: ContainerState, pauses: dict[str, Guarded]) -> None:
        """A plugin whose network ended under it runs on with none: have it replaced."""
        sandbox = self._fleet.sandbox_of(container)
        plugin_id = container.label(LABEL_PLUGIN)
        ready = sandbox is not None and sandbox.state is SandboxState.READY
        running = container.phase is ContainerPhase.RUNNING
        if not container.label(LABEL_JOINS) or not (ready and running):
            return
        pause = pauses.get(plugin_id)
        if sandbox is not None and (pause is None or not _holds(pause, container)):
            sandbox.give_up("the network that it had joined ended")

    async def _take_out(self, pause: Guarded) -> None:
        """Whoever connects a pause to a network gives its plugin a way round its own."""
        strays = self._guard.strays(pause)
        for network in strays:
            if (pause.container_id, network) not in self._strays:
                self._tell_stray(pause, network)
            if self._repairs is not None:
                await self._repairs.leave(pause.container_id, network)
        self._strays = {it for it in self._strays if it[0] != pause.container_id}
        if self._repairs is None:
            self._strays |= {(pause.container_id, network) for network in strays}

    def _tell_stray(self, pause: Guarded, network: str) -> None:
        self._bus.publish(
            EventName.PLUGIN_DRIFTED,
            pause.plugin_id,
            {
                "detail": f"networks: found {network} beside its own, expected its own alone",
                "field": "networks",
                "found": network,
                "expected": "its own",
                "cure": Cure.SET_BACK if self._repairs is not None else Cure.TELL,
                "container_id": pause.container_id,
            },
        )

    # -- the quota ------------------------------------------------------------------------------

    def _is_due(self, plugin_id: str) -> bool:
        rhythm = self._rhythms.setdefault(plugin_id, _Rhythm())
        return plugin_id not in self._fleet.busy and self._clock.monotonic() >= rhythm.due

    async def _look(self, deployment: Deployment, policy: SecurityPolicy) -> None:
        """Book what passed, and let through what the window has room for."""
        account = self._meters.account(deployment, policy)
        plugin_id, before = deployment.plugin_id, (account.run, account.passed)
        try:
            counters = await self._read(plugin_id, account)
            if counters is None:
                return
            await self._set_quota(plugin_id, account, counters)
        except OrchestratorError as error:
            self._fleet.networks[plugin_id] = {"enforced_by": "nftables", "trouble": str(error)}
            return
        finally:
            moved = (account.run, account.passed) != before
            if (rhythm := self._rhythms.get(plugin_id)) is not None:  # settled meanwhile, else
                rhythm.next(self._clock.monotonic(), moved=moved)
        self._tell(plugin_id, account, counters)

    async def _read(self, plugin_id: str, account: Account) -> GuardCounters | None:
        pause = await self._pause(plugin_id)
        counters = await self._guard.counters(plugin_id) if pause is not None else None
        if pause is None or counters is None:
            return None
        account.book(pause.run, counters.passed_bytes)
        self._fleet.networks[plugin_id] = {
            "enforced_by": "nftables",
            "sent_bytes": counters.sent_bytes,
            "received_bytes": counters.received_bytes,
            "refused_packets": counters.refused_packets,
            "window_used_bytes": account.meter.used(),
            "limit_bytes": account.meter.limit_bytes,
        }
        return counters

    async def _set_quota(self, plugin_id: str, account: Account, counters: GuardCounters) -> None:
        """The quota counts from the pause's start, so what may still pass goes on top of that.

        While only the network is used the sum stays the same. It rises as the window moves on,
        and falls when a broker of the same plugin carries bytes.
        """
        left = account.meter.left()
        as_it_was = counters.used_bytes + left == counters.quota_bytes
        if left < SMALLEST_REST_BYTES if counters.exhausted else as_it_was:
            return
        await self._guard.set_quota(plugin_id, left, known=counters)

    def _tell(self, plugin_id: str, account: Account, counters: GuardCounters) -> None:
        """Once in a window."""
        meter, now = account.meter, self._clock.now()
        exhausted = counters.exhausted and meter.left() < LARGEST_PACKET_BYTES
        if exhausted and now - account.told_at >= meter.window_seconds:
            account.told_at = now
            limit = meter.limit_bytes >> 20
            self._bus.publish(
                EventName.PLUGIN_QUOTA_EXCEEDED,
                plugin_id,
                {
                    "reason": "quota_exceeded",
                    "detail": f"max_network_mb: {limit} MiB passed within the window",
                    "used_bytes": meter.used(),
                    "refused_packets": counters.refused_packets,
                },
            )


def _granted(deployment: Deployment) -> NetworkAccess | None:
    found = (it for it in deployment.grant.permissions if isinstance(it, NetworkAccess))
    return next(found, None)


def _holds(pause: Guarded, container: ContainerState) -> bool:
    """A pause that was started after the container has a namespace that the container is not in."""
    return (
        pause.running
        and pause.container_id == container.label(LABEL_JOINS)
        and pause.started_at <= container.started_at
    )
