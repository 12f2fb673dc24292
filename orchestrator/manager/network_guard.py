"""NetworkGuard: gives a plugin with network_access its network, and the packet filter before it.

A *pause* container owns the network namespace: the rules and the quota in it outlive every restart
of the plugin, which only joins. Everything is labelled, so that a killed daemon's are found again.
"""

import asyncio
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_ROLE, ContainerNameTaken, Engine, EngineUnavailable
from orchestrator.engine.networks import (
    NetworkNameTaken,
    NetworkState,
    NetworkStore,
    SubnetsExhausted,
    SubnetTaken,
    free_subnets,
)
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.guard_answers import (
    GuardCounters,
    HostNetwork,
    read_counters,
    read_host_network,
)
from orchestrator.model.container import ContainerPhase, ContainerSpec, ContainerState
from orchestrator.policy.guard import GuardRules, new_quota, quota, ruleset
from orchestrator.policy.guard_containers import (
    host_spec,
    network_mode,
    network_name,
    nft_spec,
    pause_name,
    pause_spec,
)

LABEL_GUARDS: Final = "orchestrator.guards"
"""The plugin whose network it is; LABEL_PLUGIN is for the plugin's own container."""
LABEL_MADE_FROM: Final = "orchestrator.guard-digest"
ROLE_PAUSE: Final = "pause"
ROLE_HELPER: Final = "guard-helper"
ROLE_NETWORK: Final = "network"

DEFAULT_POOL: Final = "10.213.0.0/16"
_SUBNET_LENGTH = 29
_HELPER_SECONDS = 20.0
_LOOK_SECONDS = 0.02
_HOST_FRESH_SECONDS = 30.0
_COUNTERS = ("-j", "list quotas; list counters")

Image = Callable[[], Awaitable[str]]


class GuardFailed(OrchestratorError):
    """A helper did not do its work; the plugin must not start."""

    kind, code = Kind.INTERNAL, "network_guard_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A pause container, and so a plugin's network."""

    plugin_id: str
    container_id: str
    running: bool
    """False after a reboot: the plugin that had joined it has no network any more."""
    started_at: float = 0.0
    networks: tuple[str, ...] = ()
    """Those that it is in: its own, unless somebody put it into others."""

    @property
    def run(self) -> str:
        """Tells one life of the namespace, and so of its counters, from another."""
        return f"{self.container_id}@{self.started_at:.6f}"


class NetworkGuard:
    """Each verb may be cut off anywhere and be called again."""

    def __init__(
        self,
        *,
        engine: Engine,
        networks: NetworkStore,
        image: Image,
        prefix: str,
        labels: Mapping[str, str],
        seccomp_profile: str,
        clock: Clock,
        pool: str = DEFAULT_POOL,
    ) -> None:
        self._engine = engine
        self._networks = networks
        self._image = image
        self._prefix = prefix
        self._labels = dict(labels)
        self._seccomp_profile = seccomp_profile
        self._clock = clock
        self._pool = pool
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._host: tuple[float, HostNetwork] | None = None
        self._host_lock = asyncio.Lock()
        self._helping: set[str] = set()
        """Names of the helpers that somebody waits for."""
        self._left = True
        """Whether there may be others: a daemon that was killed left its own."""

    async def ensure(self, plugin_id: str, rules: GuardRules, *, used_bytes: int = 0) -> str:
        """The network mode for the plugin's container; its rules are in force when this returns.

        A running pause goes on counting; one that starts anew begins with `used_bytes`.
        Raises GuardFailed, SubnetsExhausted, EngineUnavailable.
        """
        async with self._locks[plugin_id]:
            image = await self._image()
            host = await self._host_network(image)
            network = await self._network(plugin_id, host)
            await self._pause(plugin_id, image, network)
            text = ruleset(
                rules, host_addresses=host.addresses, pool=self._pool, used_bytes=used_bytes
            )
            await self._nft(plugin_id, image, (text,))
        return network_mode(self._prefix, plugin_id)

    async def counters(self, plugin_id: str) -> GuardCounters | None:
        """What went through so far; None without a running pause. Raises GuardFailed."""
        async with self._locks[plugin_id]:
            if not await self._is_running(plugin_id):
                return None
            return read_counters(await self._nft(plugin_id, await self._image(), _COUNTERS))

    async def set_quota(self, plugin_id: str, left: int, *, known: GuardCounters) -> None:
        """Let `left` bytes more pass than `known` counts. Raises GuardFailed."""
        async with self._locks[plugin_id]:
            if not await self._is_running(plugin_id):
                return
            used = known.used_bytes
            text = new_quota(left) if known.exhausted else quota(used + left, used_bytes=used)
            await self._nft(plugin_id, await self._image(), (text,))

    async def cut(self, plugin_id: str) -> None:
        """The emergency brake: no packet passes any more, until `ensure`. Waits for no lock."""
        await self._networks.disconnect(network_name(self._prefix, plugin_id))

    def strays(self, pause: Guarded) -> tuple[str, ...]:
        """Networks that the pause, and so its plugin, was put into beside its own."""
        own = network_name(self._prefix, pause.plugin_id)
        return tuple(name for name in pause.networks if name != own)

    async def remove(self, plugin_id: str) -> None:
        """Take pause and network away, after the plugin's container; quiet if there is none."""
        async with self._locks[plugin_id]:
            for container in await self._containers(plugin_id):
                await self._engine.remove(container.container_id)
            await self._networks.remove(network_name(self._prefix, plugin_id))

    async def clear(self) -> None:
        """Take away helpers that nobody waits for. Raises EngineUnavailable."""
        if not self._left:
            return
        for state in await self._engine.list({**self._labels, LABEL_ROLE: ROLE_HELPER}):
            if state.name not in self._helping:
                await self._engine.remove(state.container_id)
        self._left = False

    async def networked(self) -> set[str]:
        """Plugins that have a network, be it that a daemon was killed before it had a pause."""
        found = await self._networks.list({**self._labels, LABEL_ROLE: ROLE_NETWORK})
        return {network.label(LABEL_GUARDS) for network in found}

    async def guarded(self) -> list[Guarded]:
        """Every pause of this instance, by plugin."""
        found = await self._engine.list({**self._labels, LABEL_ROLE: ROLE_PAUSE})
        pauses = [
            Guarded(
                plugin_id=state.label(LABEL_GUARDS),
                container_id=state.container_id,
                running=state.phase is ContainerPhase.RUNNING,
                started_at=state.started_at,
                networks=state.adjustable.networks if state.adjustable is not None else (),
            )
            for state in found
        ]
        return sorted(pauses, key=lambda it: it.plugin_id)

    # -- the network and its pause --------------------------------------------------------------

    async def _network(self, plugin_id: str, host: HostNetwork) -> NetworkState:
        name = network_name(self._prefix, plugin_id)
        labels = self._labels_of(plugin_id, ROLE_NETWORK)
        everything = await self._networks.list({})
        mine = [it for it in everything if it.name == name and labels.items() <= set(it.labels)]
        if mine:
            return mine[0]
        taken = [subnet for network in everything for subnet in network.subnets]
        free = free_subnets(
            self._pool, [*taken, *host.networks], length=_SUBNET_LENGTH, start=_spread(name)
        )
        for subnet in free:
            try:
                return await self._networks.create(name, subnet=subnet, labels=labels)
            except SubnetTaken:
                continue
            except NetworkNameTaken as error:
                raise GuardFailed(
                    f"{plugin_id}: network {name} exists and is not this instance's;"
                    " expected no such network, or one with its labels"
                ) from error
        raise SubnetsExhausted(
            f"{plugin_id}: found no free /{_SUBNET_LENGTH} in {self._pool}, expected one beside the"
            f" {len(taken)} subnets of the engine and the {len(host.networks)} routes of its host"
        )

    async def _pause(self, plugin_id: str, image: str, network: NetworkState) -> None:
        """Running, and in this network. Its image does not matter.

        One that ended is started again, and only made anew where that will not do: what has
        joined it can join no other.
        """
        name = pause_name(self._prefix, plugin_id)
        digest = hashlib.sha256(repr(network.subnets).encode()).hexdigest()[:16]
        labels = {**self._labels_of(plugin_id, ROLE_PAUSE), LABEL_MADE_FROM: digest}
        for state in await self._containers(plugin_id):
            right = state.label(LABEL_ROLE) == ROLE_PAUSE and labels.items() <= set(state.labels)
            if right and state.phase is ContainerPhase.RUNNING:
                if state.container_id not in network.containers:  # it was cut
                    await self._networks.connect(network.name, state.container_id)
                return
            if right and await self._starts_again(state):
                return
            await self._engine.remove(state.container_id)
        spec = pause_spec(
            plugin_id, image=image, network=network.name, seccomp_profile=self._seccomp_profile
        )
        await self._engine.start(await self._engine.create(spec, name=name, labels=labels))

    async def _starts_again(self, state: ContainerState) -> bool:
        if state.phase not in {ContainerPhase.CREATED, ContainerPhase.EXITED}:
            return False
        try:
            await self._engine.start(state.container_id)
        except EngineUnavailable:
            raise
        except OrchestratorError:  # its network was removed, say
            return False
        return True

    async def _is_running(self, plugin_id: str) -> bool:
        return any(
            state.label(LABEL_ROLE) == ROLE_PAUSE and state.phase is ContainerPhase.RUNNING
            for state in await self._containers(plugin_id)
        )

    async def _containers(self, plugin_id: str) -> list[ContainerState]:
        """Pause and helpers, also those that a killed daemon left."""
        return await self._engine.list({**self._labels, LABEL_GUARDS: plugin_id})

    def _labels_of(self, plugin_id: str, role: str) -> dict[str, str]:
        return {**self._labels, LABEL_ROLE: role, LABEL_GUARDS: plugin_id}

    # -- helpers --------------------------------------------------------------------------------

    async def _host_network(self, image: str) -> HostNetwork:
        """Asked anew now and then: interfaces come and go."""
        async with self._host_lock:
            now = self._clock.monotonic()
            if self._host is None or now - self._host[0] > _HOST_FRESH_SECONDS:
                spec = host_spec(image=image, seccomp_profile=self._seccomp_profile)
                labels = {**self._labels, LABEL_ROLE: ROLE_HELPER}
                name = f"{self._prefix}-guard-host"
                self._host = (now, read_host_network(await self._helper(spec, name, labels)))
            return self._host[1]

    async def _nft(self, plugin_id: str, image: str, commands: tuple[str, ...]) -> str:
        spec = nft_spec(image=image, pause=pause_name(self._prefix, plugin_id), commands=commands)
        labels = self._labels_of(plugin_id, ROLE_HELPER)
        return await self._helper(spec, f"{self._prefix}-{plugin_id}-guard", labels)

    async def _helper(self, spec: ContainerSpec, name: str, labels: Mapping[str, str]) -> str:
        """What it printed. Raises GuardFailed unless it ended well."""
        async with self._made(spec, name, labels) as container_id:
            try:
                async with asyncio.timeout(_HELPER_SECONDS):
                    await self._engine.start(container_id)
                    exit_code = await self._ended(container_id)
            except TimeoutError as error:
                raise GuardFailed(f"{name} did not end within {_HELPER_SECONDS:g} s") from error
            logs = self._engine.logs(container_id, follow=False, since=0.0, tail=None)
            lines = [line async for line in logs]
        if exit_code != 0:
            words = "; ".join(line.text for line in lines)
            raise GuardFailed(f"{name} ended with exit code {exit_code}, expected 0: {words}")
        return "\n".join(line.text for line in lines if line.stream == "stdout")

    @contextlib.asynccontextmanager
    async def _made(
        self, spec: ContainerSpec, name: str, labels: Mapping[str, str]
    ) -> AsyncIterator[str]:
        self._helping.add(name)
        try:
            container_id = await self._create(spec, name, labels)
            try:
                yield container_id
            finally:
                await asyncio.shield(self._engine.remove(container_id))
        except EngineUnavailable:
            self._left = True  # it may be there all the same
            raise
        finally:
            self._helping.discard(name)

    async def _create(self, spec: ContainerSpec, name: str, labels: Mapping[str, str]) -> str:
        try:
            return await self._engine.create(spec, name=name, labels=labels)
        except ContainerNameTaken:  # by a daemon killed while it ran
            for state in await self._engine.list(labels):
                await self._engine.remove(state.container_id)
            return await self._engine.create(spec, name=name, labels=labels)

    async def _ended(self, container_id: str) -> int | None:
        while True:
            state = await self._engine.inspect(container_id)
            if state is None:
                return None
            if state.phase is ContainerPhase.EXITED:
                return state.exit_code
            await asyncio.sleep(_LOOK_SECONDS)


def _spread(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
