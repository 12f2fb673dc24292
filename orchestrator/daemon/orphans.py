"""The part of the composition root that looks for what instances left that no longer exist."""

from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.daemon.backends import Backends
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.liveness import Maker
from orchestrator.manager.orphans import Ground, Orphans
from orchestrator.store.base import RecordStore


def ground_of(settings: DaemonSettings, backends: Backends) -> Ground:
    """The engine, as far as this instance can tell whose things are on it."""
    return Ground(
        engine=backends.engine,
        volumes=backends.volumes,
        networks=backends.networks,
        own=settings.owner,
        local=settings.engine is None or "unix://" in settings.engine,
    )


def orphans_of(
    settings: DaemonSettings,
    backends: Backends,
    *,
    store: RecordStore,
    bus: PluginEventBus,
    clock: Clock,
) -> Orphans:
    """Not running yet."""
    ground = ground_of(settings, backends)
    return Orphans(ground=ground, leavings=leavings, store=store, bus=bus, clock=clock)


def leavings(maker: Maker) -> tuple[Path, ...]:
    """The folders that an instance has outside of its state folder; all in memory.

    Not that of its share mounts: an operator's folder may still be mounted there.
    """
    folder = Path(maker.folder)
    settings = DaemonSettings(home=folder.parent, instance=maker.instance)
    return (settings.secrets_root, settings.volume_links)
