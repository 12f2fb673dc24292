"""The part of the composition root that the bundled monitoring stack needs."""

import asyncio
from functools import partial

from orchestrator.clock import Clock
from orchestrator.daemon.backends import Backends, place_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.stack_images import ensure_prometheus_image, find_or_pull
from orchestrator.manager.fleet import Fleet
from orchestrator.monitoring.stack.parts import Site
from orchestrator.monitoring.stack.stack import MonitoringStack
from orchestrator.monitoring.stack.supply import StackSupply
from orchestrator.policy.seccomp import with_network_sockets


def stack_of(
    settings: DaemonSettings,
    backends: Backends,
    *,
    fleet: Fleet,
    base_lock: asyncio.Lock,
    clock: Clock,
) -> MonitoringStack:
    """Not running yet: `MonitoringStack.run` is its life."""
    place, images = place_of(settings), backends.images

    async def relay() -> str:
        async with base_lock:
            return await ensure_base(images, cache=settings.cache, progress=_quiet)

    async def prometheus(reference: str) -> str:
        return await ensure_prometheus_image(
            images, reference, cache=settings.cache, progress=_quiet
        )

    return MonitoringStack(
        engine=backends.engine,
        volumes=backends.volumes,
        supply=StackSupply(
            relay=relay, prometheus=prometheus, pull=partial(find_or_pull, images), clock=clock
        ),
        site=Site(
            prefix=place.prefix,
            relay_folder=str(settings.monitoring_folder / "relay"),
            seccomp_profile=with_network_sockets(place.seccomp_profile),
        ),
        labels=place.labels,
        instance=settings.instance,
        folder=settings.monitoring_folder,
        wanted=lambda: fleet.monitoring,
        clock=clock,
    )


def _quiet(line: str) -> None:
    """Nobody waits in front of a screen: what went wrong is in the stack's state."""
