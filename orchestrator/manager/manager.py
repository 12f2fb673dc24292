"""PluginManager: what commands say to the fleet. It writes what is desired; the loop acts."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_PLUGIN, Engine, Probe, VolumeStore
from orchestrator.engine.networks import NetworkStore
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.admission import check_host
from orchestrator.manager.auditing import Clerk, policy_told
from orchestrator.manager.commitment import take_in, write_wanted
from orchestrator.manager.deployment import Deployment, Inputs, Place, to_record
from orchestrator.manager.desired import merge
from orchestrator.manager.fleet import DESIRED, Fleet
from orchestrator.manager.held import HeldUpdate, held_back
from orchestrator.manager.loop import ReconcileLoop
from orchestrator.manager.monitored import store_monitoring, stored_monitoring
from orchestrator.manager.overridden import Overrides
from orchestrator.manager.remembered import INSTANCE, read_deployments, stored_policy
from orchestrator.manager.resolve import Resolver, check_dependencies, raise_all
from orchestrator.manager.revisions import Note
from orchestrator.manager.rollout import Rollouts
from orchestrator.manager.sweep import sweep
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.load import LoadedManifest, load_instance_config, load_manifests
from orchestrator.model.policy import InstanceConfig, SecurityPolicy
from orchestrator.policy.overrides import Override

OPERATOR: Final = "operator"
DOWN_SECONDS: Final = 120.0
"""Longest orderly stop of everything; what is left after it is removed by force."""


class PluginNotFound(OrchestratorError):
    """No such plugin in this instance."""

    kind, code = Kind.NOT_FOUND, "plugin_not_found"


class PluginManager:
    """One per daemon. `apply` and `down` come one at a time."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        loop: ReconcileLoop,
        resolver: Resolver,
        overrides: Overrides,
        rollouts: Rollouts,
        engine: Engine,
        volumes: VolumeStore,
        networks: NetworkStore,
        probe: Probe,
        bus: PluginEventBus,
        clerk: Clerk,
        place: Place,
        clock: Clock,
    ) -> None:
        self.fleet = fleet
        self.loop = loop
        self._resolver = resolver
        self._overrides = overrides
        self.rollouts = rollouts
        self._engine = engine
        self._volumes = volumes
        self._networks = networks
        self._probe = probe
        self._bus = bus
        self._clerk = clerk
        self._place = place
        self._clock = clock
        self.one = asyncio.Lock()
        """Held by whatever changes what is wanted and has to wait meanwhile."""

    @property
    def policy(self) -> SecurityPolicy:
        return self.fleet.policy

    @property
    def bus(self) -> PluginEventBus:
        return self._bus

    async def route_event(self, event: PluginEvent) -> PluginEvent:
        """Take an event: it is on disk when this returns, and reaches every plugin that subscribed.

        One that was taken before is not taken again. Raises EventsFull, StoreUnavailable.
        """
        return await self._bus.accept(event)

    def restore(self) -> None:
        """Take up what an earlier daemon was told."""
        store = self.fleet.store
        self.fleet.restore()
        self._overrides.restore()
        self.fleet.policy = stored_policy(store)
        self.fleet.monitoring = stored_monitoring(store)
        found = read_deployments(store, self.fleet.policy, self._place)
        self.fleet.deployments, self.fleet.unfit = found
        self.fleet.told = bool(store.load(INSTANCE))
        self.fleet.unread = {*self.fleet.unfit}
        self.rollouts.restore(self.fleet.policy)

    async def apply(
        self,
        paths: Sequence[Path],
        config: Path | None,
        environment: str | None = None,
        *,
        monitoring: bool | None = None,
        who: str = OPERATOR,
    ) -> list[str]:
        """Make what `paths` hold wanted; the names of the plugins they hold.

        All is checked before anything changes. Raises InvalidFile, PermissionRefused,
        DependenciesUnresolved and their kin; EngineUnavailable, as nothing would come of it.
        """
        async with self.one:
            where = f" --environment {environment}" if environment is not None else ""
            words = f"up {' '.join(map(str, paths))}{where}"
            before = self.policy
            try:
                manifests = load_manifests(paths, environment)
                told = load_instance_config(config) if config is not None else InstanceConfig()
                names = await self._apply(manifests, paths, told.policy, Note(who=who, why=words))
                self.fleet.monitoring = store_monitoring(
                    self.fleet.store, told.monitoring, by_command=monitoring
                )
            except OrchestratorError as error:
                self._clerk.refusal(words, error, who=who)
                raise
            under = policy_told(config, before, self.policy)
            self._clerk.command(words, {"plugins": [*names], **under}, who=who)
            return names

    async def _apply(
        self,
        manifests: Sequence[LoadedManifest],
        paths: Sequence[Path],
        policy: SecurityPolicy,
        note: Note,
    ) -> list[str]:
        await self._knock()
        resolved = await self._resolver.resolve(manifests, policy)
        current = self._reweighed(policy)
        gone = current.keys() - merge(current, resolved, paths).keys()
        await self._change(current, resolved, gone, policy, note)
        return [deployment.plugin_id for deployment in resolved]

    async def resolve(
        self, manifests: Sequence[LoadedManifest]
    ) -> list[Deployment | OrchestratorError]:
        """Every manifest decided by itself, or why it cannot be. Raises EngineUnavailable."""
        await self._knock()
        return await self._resolver.each(manifests, self.policy)

    async def change(
        self,
        new: Sequence[Deployment],
        gone: Collection[str],
        note: Note,
        *,
        policy: SecurityPolicy | None = None,
        still: Callable[[], bool] = lambda: True,
        once: Mapping[str, Inputs] | None = None,
    ) -> None:
        """Make these wanted and those no more, or nothing; others stay. Raises what `apply` raises.

        Nothing if `still` says no once it is our turn. `once` is what some of `new` were when they
        were taken away: more than that is held.
        """
        async with self.one:
            if not still():
                return
            under = policy or self.policy
            known = {name: self._overrides.settle(one, under) for name, one in (once or {}).items()}
            await self._change(known | self._reweighed(under), new, gone, under, note)

    async def _change(
        self,
        current: Mapping[str, Deployment],
        new: Sequence[Deployment],
        gone: Collection[str],
        policy: SecurityPolicy,
        note: Note,
    ) -> None:
        inputs, held = held_back(current, new)
        settled = {one.info.plugin_id: self._overrides.settle(one, policy) for one in inputs}
        kept = {name: one for name, one in current.items() if name not in gone}
        wanted = dict(sorted({**kept, **settled}.items()))
        await self._take(wanted, policy, note, named={*settled}, held=held)
        self._clerk.decisions(one for name, one in settled.items() if name not in held)
        self._clerk.held(held)

    async def take(
        self, inputs: Inputs, note: Note, *, held: Mapping[str, HeldUpdate] | None = None
    ) -> Deployment:
        """Make that of one plugin wanted; `one` is held. Raises what `apply` raises."""
        new = self._overrides.settle(inputs, self.policy)
        wanted = {**self._reweighed(self.policy), new.plugin_id: new}
        await self._take(wanted, self.policy, note, named={new.plugin_id}, held=held or {})
        self._clerk.decisions([new])
        return new

    async def withdraw(self, plugin_id: str, note: Note) -> None:
        """Want the plugin no more; `one` is held. Raises DependenciesUnresolved."""
        wanted = self._reweighed(self.policy, without=plugin_id)
        await self._take(wanted, self.policy, note, named={plugin_id}, held={})

    def weighed(self, deployment: Deployment, overrides: Sequence[Override]) -> Deployment:
        """A deployment as it would be under those overrides. Raises PermissionRefused."""
        return self._resolver.settle(deployment.inputs, self.policy, overrides)

    def check(self, deployment: Deployment) -> None:
        """Whether the host has what was granted. Raises HostUnusable, DatabaseAddressUnusable."""
        self._resolver.check(deployment, self.policy)

    def replace(self, new: Deployment, note: Note) -> None:
        """The plugin as it was weighed anew: in mind first, for a revoke cannot wait.

        Raises StoreUnavailable.
        """
        fleet, name = self.fleet, new.plugin_id
        old, fleet.deployments[name] = fleet.deployments[name], new
        if old.compiled.digest != new.compiled.digest:
            fleet.forgive(name)
            fleet.touch(name)
            fleet.earlier.pop(name, None)  # what was revoked must not come up again
            changed: dict[str, JsonValue] = {"changed": [name], "removed": []}
            self._bus.publish(EventName.DESIRED_CHANGED, data=changed)
        asked = self.rollouts.replaced(new, note)
        self.loop.wake()
        if asked and old.inputs != new.inputs:
            fleet.store.put_all(DESIRED, {name: to_record(new.inputs)})

    async def down(self, *, with_volumes: bool, who: str = OPERATOR) -> tuple[int, int]:
        """Stop everything in order, then take away what is left; (containers, volumes) swept."""
        async with self.one:
            self._clerk.command("down", {"volumes": with_volumes}, who=who)
            note = Note(who=who, why="down")
            self._commit({}, self.policy, note, named=set(), held={})
            try:
                async with asyncio.timeout(DOWN_SECONDS):
                    while self.fleet.containers or self.fleet.busy:
                        await self.loop.passed()
            except TimeoutError:
                pass  # the sweep takes what would not go
            return await sweep(
                engine=self._engine,
                volumes=self._volumes,
                networks=self._networks,
                labels=self._place.labels,
                roots=(Path(self._place.sockets_root), Path(self._place.secrets_root)),
                with_volumes=with_volumes,
            )

    def deployment(self, plugin_id: str) -> Deployment:
        """Raises PluginNotFound."""
        deployment = self.fleet.deployments.get(plugin_id)
        if deployment is None:
            known = ", ".join(self.fleet.deployments) or "none"
            raise PluginNotFound(
                f"found {plugin_id!r}, expected a plugin of this instance: {known}"
            )
        return deployment

    def container_id(self, plugin_id: str) -> str:
        """The plugin's container, running or not. Raises PluginNotFound."""
        deployment = self.deployment(plugin_id)
        wanted = {
            deployment.replica(index).compiled.container_name
            for index in range(deployment.replicas)
        }
        containers = sorted(self.fleet.containers.values(), key=lambda one: one.name)
        for container in containers:
            if container.name in wanted:
                return container.container_id
        raise PluginNotFound(f"{plugin_id} has no container now")

    # -------------------------------------------------------------------------------------------

    async def _knock(self) -> None:
        """Whether the engine answers: nobody's containers are asked for, as they take time."""
        await self._engine.list({**self._place.labels, LABEL_PLUGIN: ""})

    async def _take(
        self,
        wanted: Mapping[str, Deployment],
        policy: SecurityPolicy,
        note: Note,
        *,
        named: set[str],
        held: Mapping[str, HeldUpdate],
    ) -> None:
        """Check the whole and make it wanted.

        Raises DependenciesUnresolved, NotAdmitted, RuntimeMissing.
        """
        check_dependencies(wanted.values())
        host = await self._probe.info()
        check_host(wanted, policy, host, first=self.fleet.deployments)
        # Once more: a revoke does not wait for us, and must not be undone.
        settled = self._overrides.settled(wanted, policy)
        self._commit(settled, policy, note, named=named, held=held)

    def _reweighed(self, policy: SecurityPolicy, without: str = "") -> dict[str, Deployment]:
        """What was asked for already, under the policy as it is now."""
        weighed: dict[str, Deployment] = {}
        errors: list[OrchestratorError] = []
        for name, deployment in self.fleet.deployments.items():
            if name == without:
                continue
            try:
                inputs = self.rollouts.asked(deployment)
                weighed[name] = self._overrides.settle(inputs, policy)
            except OrchestratorError as error:
                errors.append(error)
        raise_all(errors)
        return weighed

    def _commit(
        self,
        wanted: dict[str, Deployment],
        policy: SecurityPolicy,
        note: Note,
        *,
        named: set[str],
        held: Mapping[str, HeldUpdate],
    ) -> None:
        """On disk first, then in mind."""
        fleet = self.fleet
        gone = fleet.deployments.keys() - wanted.keys()
        if not wanted:
            gone = gone | fleet.unread
            fleet.unread = set()
            fleet.unfit = {}
        write_wanted(fleet, wanted, gone, policy)
        fleet.hold(held, instead_of=named | gone)
        effective = self.rollouts.commit(wanted, policy, note)
        changed = take_in(fleet, effective, policy, named)
        if gone or changed:
            data: dict[str, JsonValue] = {"changed": [*changed], "removed": [*sorted(gone)]}
            self._bus.publish(EventName.DESIRED_CHANGED, data=data)
        self.loop.wake()
