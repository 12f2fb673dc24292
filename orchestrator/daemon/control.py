"""The control plane put together: a part of the composition root (build.py) of its own."""

import asyncio

from orchestrator.clock import Clock
from orchestrator.daemon.backends import Backends, place_of, resolver_of
from orchestrator.daemon.permissions import permission_system
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.access import Access
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.doors import Doors
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.images import ImageBuilder
from orchestrator.manager.last_words import Listener
from orchestrator.manager.loop import ReconcileLoop
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.mend import Mender
from orchestrator.manager.networks import PluginNetworks
from orchestrator.manager.observe import Observer
from orchestrator.manager.overridden import Overrides
from orchestrator.manager.permissions import PermissionSystem
from orchestrator.manager.rollout import Rollouts
from orchestrator.manager.rotation import Rotation
from orchestrator.manager.secrets import SecretReader
from orchestrator.manager.steps import Steps
from orchestrator.manager.way_back import WayBack
from orchestrator.sandbox.callers import CallLedger
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.sandbox import PluginSandbox


def control_plane(
    settings: DaemonSettings,
    backends: Backends,
    *,
    clock: Clock,
    bus: PluginEventBus,
    clerk: Clerk,
    fleet: Fleet,
    wheel: DeadlineWheel,
    access: Access,
    networks: PluginNetworks,
    doors: Doors,
    ledger: CallLedger,
    base_lock: asyncio.Lock,
    secrets: SecretReader,
) -> tuple[PluginManager, PermissionSystem, Rotation]:
    """The loop with all its hands, and those who tell it what is wanted."""
    place = place_of(settings)
    labels = place.labels
    builder = ImageBuilder(images=backends.images, cache=settings.cache, base_lock=base_lock)
    observer = Observer(labels=labels, engine=backends.engine, fleet=fleet, bus=bus)

    def new_sandbox(deployment: Deployment) -> PluginSandbox:
        return PluginSandbox(
            sandbox_id=deployment.compiled.sandbox_id,
            info=deployment.inputs.info,
            limits=deployment.grant.limits,
            calls=fleet.policy.calls,
            wheel=wheel,
            ledger=ledger,
            watch=doors.watch(deployment.plugin_id),
            on_change=lambda _sandbox: loop.wake(),
        )

    steps = Steps(
        labels=labels,
        sockets_root=settings.sockets_root,
        secrets_root=settings.secrets_root,
        fleet=fleet,
        engine=backends.engine,
        volumes=backends.volumes,
        images=builder,
        bus=bus,
        access=access,
        networks=networks,
        pausing=backends.pausing,
        mender=Mender(engine=backends.engine, repairs=backends.repairs, fleet=fleet),
        secrets=secrets,
        new_sandbox=new_sandbox,
    )
    resolver = resolver_of(settings, backends.images, secrets)
    overrides = Overrides(store=fleet.store, resolver=resolver)
    way_back = WayBack(fleet=fleet, images=backends.images, settle=overrides.settle)
    listener = Listener(fleet=fleet, engine=backends.engine, probe=backends.probe, secrets=secrets)
    rollouts = Rollouts(fleet=fleet, way_back=way_back, listener=listener, bus=bus, clock=clock)
    loop = ReconcileLoop(
        fleet=fleet,
        engine=backends.engine,
        observer=observer,
        steps=steps,
        doors=doors,
        bus=bus,
        clock=clock,
        judge=rollouts.judge,
    )
    manager = PluginManager(
        fleet=fleet,
        loop=loop,
        resolver=resolver,
        overrides=overrides,
        rollouts=rollouts,
        engine=backends.engine,
        volumes=backends.volumes,
        networks=backends.networks,
        probe=backends.probe,
        bus=bus,
        clerk=clerk,
        place=place,
        clock=clock,
    )
    permissions = permission_system(
        manager=manager,
        overrides=overrides,
        engine=backends.engine,
        observer=observer,
        access=access,
        networks=networks,
        clerk=clerk,
        clock=clock,
    )
    return (
        manager,
        permissions,
        Rotation(manager=manager, overrides=overrides, secrets=secrets, clock=clock),
    )
