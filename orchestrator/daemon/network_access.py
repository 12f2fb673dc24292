"""The part of the composition root that network_access needs: the guard, and who looks after it."""

from functools import partial

from orchestrator.clock import Clock
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import Engine, ImageStore
from orchestrator.engine.guard_image import ensure_guard_image
from orchestrator.engine.networks import NetworkStore
from orchestrator.engine.repairs import Repairs
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.deployment import Place
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.meters import Meters
from orchestrator.manager.network_guard import NetworkGuard
from orchestrator.manager.networks import PluginNetworks


def plugin_networks(
    *,
    settings: DaemonSettings,
    place: Place,
    engine: Engine,
    images: ImageStore,
    networks: NetworkStore,
    meters: Meters,
    fleet: Fleet,
    bus: PluginEventBus,
    clock: Clock,
    repairs: Repairs | None,
) -> PluginNetworks:
    """The guard of one instance; its image is made when the first plugin needs it."""
    guard = NetworkGuard(
        engine=engine,
        networks=networks,
        image=partial(
            ensure_guard_image, images, cache=settings.cache, progress=lambda _line: None
        ),
        prefix=place.prefix,
        labels=place.labels,
        seccomp_profile=place.seccomp_profile,
        clock=clock,
    )
    return PluginNetworks(
        guard=guard, meters=meters, fleet=fleet, bus=bus, clock=clock, repairs=repairs
    )
