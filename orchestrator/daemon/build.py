"""The composition root: everything is made here, with plain arguments, and nowhere else."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.clock import Clock
from orchestrator.daemon.analytics import Figures, open_analytics
from orchestrator.daemon.backends import Backends, place_of
from orchestrator.daemon.backup import backups_of
from orchestrator.daemon.code import CodeParts, code_sandbox
from orchestrator.daemon.control import control_plane
from orchestrator.daemon.events import open_events
from orchestrator.daemon.gitops import GitOpsParts, gitops_of
from orchestrator.daemon.monitoring import Monitoring, measured, monitoring_of
from orchestrator.daemon.network_access import plugin_networks
from orchestrator.daemon.orphans import orphans_of
from orchestrator.daemon.pages import ways_in
from orchestrator.daemon.secrets import reader_of_daemon
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.stack import stack_of
from orchestrator.daemon.state import open_state
from orchestrator.events.bus import PluginEventBus
from orchestrator.events.desk import EventDesk
from orchestrator.manager.access import Access
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.doors import Doors
from orchestrator.manager.explaining import Explainer
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.leftovers import Leftovers
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.meters import Meters
from orchestrator.manager.neighbours import FleetNeighbours
from orchestrator.manager.networks import PluginNetworks
from orchestrator.manager.operator_events import OperatorEvents
from orchestrator.manager.orphans import Orphans
from orchestrator.manager.permissions import PermissionSystem
from orchestrator.manager.probe import Prober
from orchestrator.manager.rebuilding import take_up
from orchestrator.manager.rollout_commands import RolloutCommands
from orchestrator.manager.rotation import Rotation
from orchestrator.manager.switch import Switch
from orchestrator.manager.watch import Watch, plugin_watch
from orchestrator.model.events import PluginEvent
from orchestrator.monitoring.happenings import CountingAuditor
from orchestrator.monitoring.stack.stack import MonitoringStack
from orchestrator.sandbox.callers import CallLedger
from orchestrator.sandbox.code import CodeSandbox
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.egress_uplink import HostUplink
from orchestrator.server.app import Api, Facts
from orchestrator.server.event_routes import EventApi
from orchestrator.server.gate import Gate
from orchestrator.server.permission_routes import PermissionApi
from orchestrator.server.problems import failure_problem
from orchestrator.server.rollout_routes import RolloutApi
from orchestrator.server.switch_routes import SwitchApi
from orchestrator.server.ui_server import UiListener
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.base import RecordStore
from orchestrator.version import CORE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What runs; `run` serves it."""

    manager: PluginManager
    permissions: PermissionSystem
    prober: Prober
    networks: PluginNetworks
    rotation: Rotation
    watch: Watch
    api: Api
    gate: Gate
    bus: PluginEventBus
    events: EventDesk
    audit: AuditLog
    ui: UiListener
    code: CodeSandbox
    leftovers: Leftovers
    orphans: Orphans
    monitoring: Monitoring
    figures: Figures
    stack: MonitoringStack
    git: GitOpsParts


@asynccontextmanager
async def build(
    settings: DaemonSettings,
    backends: Backends,
    *,
    clock: Clock,
    shut_down: Callable[[], None],
    supervisor: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Daemon]:
    """The daemon, ready to run; what it holds open is closed on the way out."""
    async with AsyncExitStack() as stack:
        store, audit, wheel = _ground(settings, stack, clock)
        fleet = Fleet(store=store, clock=clock, can_pause=backends.pausing is not None)
        instruments, backends = measured(backends, fleet, clock)
        auditor = CountingAuditor(audit, instruments.happenings)
        clerk, secrets = Clerk(auditor, clock), reader_of_daemon(settings, environment)
        bus = _bus(settings, clock, clerk.hear, instruments.happenings.hear)
        take_up(fleet, audit=audit, bus=bus)
        stack.callback(_close_sandboxes, fleet)
        doors = Doors(fleet=fleet, wheel=wheel, clock=clock, observer=instruments.recorder)
        stack.callback(doors.close)
        ledger = CallLedger(clock.monotonic)
        neighbours = FleetNeighbours(
            fleet=fleet, doors=doors, ledger=ledger, bus=bus, problem=failure_problem
        )
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
            repairs=backends.repairs,
        )
        access = Access(
            auditor=auditor,
            clock=clock,
            neighbours=neighbours,
            uplink=uplink,
            meters=meters,
            counts=instruments.counts,
            secrets=secrets,
        )
        stack.callback(access.close_all)
        manager, permissions, rotation = control_plane(
            settings,
            backends,
            clock=clock,
            bus=bus,
            clerk=clerk,
            fleet=fleet,
            wheel=wheel,
            access=access,
            networks=networks,
            doors=doors,
            ledger=ledger,
            base_lock=base_lock,
            secrets=secrets,
        )
        manager.restore()
        desk = open_events(settings, stack, bus=bus, manager=manager, clock=clock, wheel=wheel)
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
                auditor=auditor,
                clock=clock,
                neighbours=neighbours,
                uplink=uplink,
                counts=instruments.counts,
            ),
        )
        git = gitops_of(settings, manager=manager, bus=bus, clerk=clerk, clock=clock)
        gate, ui, logs = ways_in(manager, backends.engine)
        monitoring = monitoring_of(
            settings,
            instruments,
            manager=manager,
            meters=meters,
            usages=backends.usages,
            probe=backends.probe,
            events=desk,
            audit=audit,
            code=code,
            clock=clock,
            sync=git.facts,
            logs_origin=lambda: ui.logs_origin,
        )
        figures = open_analytics(
            settings, stack, monitoring=monitoring, manager=manager, bus=bus, clock=clock
        )
        monitoring_stack = stack_of(
            settings, backends, fleet=fleet, base_lock=base_lock, clock=clock
        )
        api = Api(
            facts=Facts(
                pid=os.getpid(),
                version=CORE_VERSION,
                supervisor=supervisor,
                instance=settings.instance,
                home=str(settings.folder),
                log_file=str(settings.log_file),
                started_at=clock.now(),
            ),
            manager=manager,
            logs=logs,
            probe=backends.probe,
            bus=bus,
            audit=audit,
            code=code,
            ui=ui,
            permissions=PermissionApi(
                manager=manager,
                permissions=permissions,
                explainer=Explainer(
                    probe=backends.probe, disks=backends.disks, labels=place_of(settings).labels
                ),
            ),
            events=EventApi(OperatorEvents(manager=manager, desk=desk, clerk=clerk)),
            rollouts=RolloutApi(RolloutCommands(manager=manager, bus=bus, clerk=clerk)),
            switch=SwitchApi(Switch(manager=manager, clerk=clerk)),
            gitops=git.api,
            backups=backups_of(
                settings, backends, place_of(settings), fleet=fleet, audit=audit, clock=clock
            ),
            metrics=monitoring.listener,
            analytics=figures.api,
            stack=monitoring_stack,
            now=clock.now,
            shut_down=shut_down,
        )
        yield Daemon(
            manager=manager,
            permissions=permissions,
            prober=Prober(fleet, manager.loop.wake),
            networks=networks,
            rotation=rotation,
            watch=plugin_watch(manager, backends.engine, backends.probe, bus, secrets),
            api=api,
            gate=gate,
            bus=bus,
            events=desk,
            audit=audit,
            ui=ui,
            code=code,
            leftovers=Leftovers(
                fleet=fleet,
                loop=manager.loop,
                roots=(settings.sockets_root, settings.secrets_root),
            ),
            git=git,
            orphans=orphans_of(settings, backends, store=store, bus=bus, clock=clock),
            monitoring=monitoring,
            figures=figures,
            stack=monitoring_stack,
        )


def _ground(
    settings: DaemonSettings, stack: AsyncExitStack, clock: Clock
) -> tuple[RecordStore, AuditLog, DeadlineWheel]:
    """What all else stands on, and so is closed last."""
    store = open_state(settings, now=clock.now())
    stack.callback(store.close)
    audit = AuditLog.open(settings.audit_folder, store=store, clock=clock)
    stack.callback(audit.close)
    wheel = DeadlineWheel(asyncio.get_running_loop())
    stack.callback(wheel.close)
    return store, audit, wheel


def _bus(
    settings: DaemonSettings, clock: Clock, *listeners: Callable[[PluginEvent], None]
) -> PluginEventBus:
    bus = PluginEventBus(clock=clock, instance=settings.instance)
    for listener in listeners:
        bus.listen(listener)
    return bus


def _close_sandboxes(fleet: Fleet) -> None:
    """The plugins run on; the next daemon opens their sockets again."""
    for sandbox in fleet.sandboxes.values():
        sandbox.close(remove_folder=False)
