"""The part of the composition root that takes and gives permissions while plugins run."""

from orchestrator.clock import Clock
from orchestrator.engine.base import Engine
from orchestrator.manager.access import Access
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.brake import Brake
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.networks import PluginNetworks
from orchestrator.manager.observe import Observer
from orchestrator.manager.overridden import Overrides
from orchestrator.manager.permissions import PermissionSystem


def permission_system(
    *,
    manager: PluginManager,
    overrides: Overrides,
    engine: Engine,
    observer: Observer,
    access: Access,
    networks: PluginNetworks,
    clerk: Clerk,
    clock: Clock,
) -> PermissionSystem:
    """The brake reaches all that a plugin may hold: brokers, its network, its container."""
    brake = Brake(
        labels=observer.labels,
        engine=engine,
        fleet=manager.fleet,
        observer=observer,
        access=access,
        cut_network=networks.cut,
    )
    return PermissionSystem(
        manager=manager, overrides=overrides, brake=brake, clerk=clerk, clock=clock
    )
