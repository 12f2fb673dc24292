"""The composition root: everything is made here, with plain arguments, and nowhere else."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from orchestrator.clock import Clock
from orchestrator.daemon.code import CodeParts, code_sandbox
from orchestrator.daemon.network_access import plugin_networks
from orchestrator.daemon.permissions import permission_system
from orchestrator.daemon.router import ManagerRouter
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state
from orchestrator.engine.base import DiskProbe, Engine, ImageStore, Probe, VolumeStore
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.docker_networks import DockerNetworks
from orchestrator.engine.docker_volumes import DockerVolumes
from orchestrator.engine.networks import NetworkStore
from orchestrator.engine.pausing import DockerPausing, Pausing
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.access import Access
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.delivery import Delivery
from orchestrator.manager.deployment import Deployment, Place
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.images import ImageBuilder
from orchestrator.manager.loop import ReconcileLoop
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.meters import Meters
from orchestrator.manager.neighbours import FleetNeighbours
from orchestrator.manager.networks import PluginNetworks
from orchestrator.manager.observe import Observer
from orchestrator.manager.overridden import Overrides
from orchestrator.manager.permissions import PermissionSystem
from orchestrator.manager.probe import Prober
from orchestrator.manager.rebuilding import take_up
from orchestrator.manager.resolve import Resolver
from orchestrator.manager.steps import Steps
from orchestrator.policy.seccomp import seccomp_profile
from orchestrator.sandbox.callers import CallLedger
from orchestrator.sandbox.code import CodeSandbox
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.egress_uplink import HostUplink
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.server.app import Api, Facts
from orchestrator.server.permission_routes import PermissionApi
from orchestrator.server.problems import failure_problem
from orchestrator.server.ui import GrantedPages, UiKeys, has_pages
from orchestrator.server.ui_server import UiListener
from orchestrator.store.audit_log import AuditLog
from orchestrator.version import CORE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Who does the work: Docker's, or the in-memory twins."""

    engine: Engine
    probe: Probe
    images: ImageStore
    volumes: VolumeStore
    disks: DiskProbe
    shares: ShareMounts
    networks: NetworkStore
    pausing: Pausing | None = None
    """Not every engine can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What runs; `run` serves it."""

    manager: PluginManager
    permissions: PermissionSystem
    prober: Prober
    networks: PluginNetworks
    api: Api
    bus: PluginEventBus
    audit: AuditLog
    ui: UiListener
    code: CodeSandbox


def place_of(settings: DaemonSettings) -> Place:
    """Where this instance's containers are compiled for."""
    return Place(
        instance=settings.instance,
        owner=settings.owner,
        sockets_root=str(settings.sockets_root),
        secrets_root=str(settings.secrets_root),
        seccomp_profile=seccomp_profile(),
    )


def resolver_of(settings: DaemonSettings, images: ImageStore) -> Resolver:
    """Reads manifests for this instance; also for `plan`, which needs no daemon."""
    return Resolver(
        images=images, place=place_of(settings), home=settings.home, base_tag=base_tag()
    )


@asynccontextmanager
async def docker_backends(settings: DaemonSettings) -> AsyncIterator[Backends]:
    """The engine at the settings' address."""
    clients = DockerClients.connect(settings.engine)
    shares = ShareMounts(settings.share_mounts, address=clients.address)
    try:
        engine = DockerEngine(clients, shares)
        volumes = DockerVolumes.detect(
            clients,
            folder=settings.volumes_root,
            links=settings.volume_links,
            image=base_tag(),
        )
        yield Backends(
            engine=engine,
            probe=engine,
            images=DockerImages(clients),
            pausing=DockerPausing(clients),
            volumes=volumes,
            disks=volumes,
            shares=shares,
            networks=DockerNetworks(clients),
        )
    finally:
        shares.close()
        await clients.aclose()


@asynccontextmanager
async def build(
    settings: DaemonSettings, backends: Backends, *, clock: Clock, shut_down: Callable[[], None]
) -> AsyncIterator[Daemon]:
    """The daemon, ready to run; what it holds open is closed on the way out."""
    async with AsyncExitStack() as stack:
        store = open_state(settings, now=clock.now())
        stack.callback(store.close)
        wheel = DeadlineWheel(asyncio.get_running_loop())
        stack.callback(wheel.close)
        audit = AuditLog.open(settings.audit_folder, store=store, clock=clock)
        stack.callback(audit.close)
        clerk = Clerk(audit, clock)
        bus = PluginEventBus(clock=clock, instance=settings.instance)
        bus.listen(clerk.hear)
        fleet = Fleet(store=store)
        take_up(fleet, audit=audit, bus=bus)
        stack.callback(_close_sandboxes, fleet)
        bus.listen(Delivery(fleet).hear)
        ledger = CallLedger(clock.monotonic)
        neighbours = FleetNeighbours(fleet=fleet, ledger=ledger, bus=bus, problem=failure_problem)
        uplink, base_lock = HostUplink(), asyncio.Lock()
        meters = Meters(store=store, now=clock.now)
        networks = plugin_networks(
            settings=settings,
            place=place_of(settings),
            engine=backends.engine,
            images=backends.images,
            networks=backends.networks,
            meters=meters,
            fleet=fleet,
            bus=bus,
            clock=clock,
        )
        access = Access(
            auditor=audit, clock=clock, neighbours=neighbours, uplink=uplink, meters=meters
        )
        stack.callback(access.close_all)
        manager, permissions = _manager(
            settings,
            backends,
            clock=clock,
            bus=bus,
            clerk=clerk,
            fleet=fleet,
            wheel=wheel,
            access=access,
            networks=networks,
            ledger=ledger,
            base_lock=base_lock,
        )
        manager.restore()
        code = code_sandbox(
            settings,
            manager,
            CodeParts(
                engine=backends.engine,
                images=backends.images,
                volumes=backends.volumes,
                pausing=backends.pausing,
                base_lock=base_lock,
                place=place_of(settings),
                wheel=wheel,
                auditor=audit,
                clock=clock,
                neighbours=neighbours,
                uplink=uplink,
            ),
        )
        ui = _ui(manager)
        api = Api(
            facts=Facts(
                pid=os.getpid(),
                version=CORE_VERSION,
                instance=settings.instance,
                home=str(settings.folder),
                log_file=str(settings.log_file),
                started_at=clock.now(),
            ),
            manager=manager,
            engine=backends.engine,
            probe=backends.probe,
            bus=bus,
            audit=audit,
            code=code,
            ui=ui,
            permissions=PermissionApi(manager=manager, permissions=permissions),
            now=clock.now,
            shut_down=shut_down,
        )
        yield Daemon(
            manager=manager,
            permissions=permissions,
            prober=Prober(fleet),
            networks=networks,
            api=api,
            bus=bus,
            audit=audit,
            ui=ui,
            code=code,
        )


def _ui(manager: PluginManager) -> UiListener:
    """The secret lives as long as the daemon: what was seen of its keys is worth nothing later."""

    def wanted() -> int | None:
        deployments = manager.fleet.deployments.values()
        return manager.policy.ui.port if any(map(has_pages, deployments)) else None

    return UiListener(
        pages=GrantedPages(manager, ManagerRouter(manager)),
        keys=UiKeys(secrets.token_bytes(32)),
        wanted=wanted,
    )


def _manager(
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
    ledger: CallLedger,
    base_lock: asyncio.Lock,
) -> tuple[PluginManager, PermissionSystem]:
    place = place_of(settings)
    labels = place.labels
    builder = ImageBuilder(images=backends.images, cache=settings.cache, base_lock=base_lock)
    observer = Observer(labels=labels, engine=backends.engine, fleet=fleet, bus=bus)

    def new_sandbox(deployment: Deployment) -> PluginSandbox:
        return PluginSandbox(
            sandbox_id=deployment.compiled.sandbox_id,
            info=deployment.inputs.info,
            limits=deployment.grant.limits,
            calls=loop.policy.calls,
            wheel=wheel,
            ledger=ledger,
            on_change=lambda _sandbox: loop.wake(),
        )

    steps = Steps(
        labels=labels,
        secrets_root=settings.secrets_root,
        fleet=fleet,
        engine=backends.engine,
        volumes=backends.volumes,
        images=builder,
        bus=bus,
        access=access,
        networks=networks,
        new_sandbox=new_sandbox,
    )
    loop = ReconcileLoop(
        fleet=fleet,
        engine=backends.engine,
        observer=observer,
        steps=steps,
        bus=bus,
        clock=clock,
    )
    resolver = resolver_of(settings, backends.images)
    overrides = Overrides(store=fleet.store, resolver=resolver)
    manager = PluginManager(
        fleet=fleet,
        loop=loop,
        resolver=resolver,
        overrides=overrides,
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
    return manager, permissions


def _close_sandboxes(fleet: Fleet) -> None:
    """The plugins run on; the next daemon opens their sockets again."""
    for sandbox in fleet.sandboxes.values():
        sandbox.close(remove_folder=False)
