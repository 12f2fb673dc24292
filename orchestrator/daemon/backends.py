"""Backends: who does the work, and where this instance's containers are compiled for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from orchestrator.clock import SystemClock
from orchestrator.daemon.secrets import reader_of_command
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import DiskProbe, Engine, ImageStore, Probe, VolumeStore
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.docker_networks import DockerNetworks
from orchestrator.engine.docker_stats import StatsStreams
from orchestrator.engine.docker_usage import DockerUsages
from orchestrator.engine.docker_volumes import DockerVolumes
from orchestrator.engine.networks import NetworkStore
from orchestrator.engine.pausing import DockerPausing, Pausing
from orchestrator.engine.repairs import DockerRepairs, Repairs
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.engine.usage import Usages
from orchestrator.engine.volume_content import DockerVolumeContent, VolumeContent
from orchestrator.manager.deployment import Place
from orchestrator.manager.liveness import marks
from orchestrator.manager.resolve import Resolver
from orchestrator.manager.secrets import SecretReader
from orchestrator.policy.seccomp import seccomp_profile


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
    repairs: Repairs | None = None
    """Nor this; without it what somebody changed has a container replaced."""
    content: VolumeContent | None = None
    """Likewise: what volumes hold, for backups."""
    usages: Usages | None = None
    """And this: what containers use, without which no resources are shown."""


def place_of(settings: DaemonSettings) -> Place:
    """Where this instance's containers are compiled for."""
    return Place(
        instance=settings.instance,
        owner=settings.owner,
        sockets_root=str(settings.sockets_root),
        secrets_root=str(settings.secrets_root),
        seccomp_profile=seccomp_profile(),
    )


def resolver_of(
    settings: DaemonSettings, images: ImageStore, secrets: SecretReader | None = None
) -> Resolver:
    """Reads manifests for this instance; also for `plan`, which needs no daemon."""
    return Resolver(
        images=images,
        place=place_of(settings),
        home=settings.home,
        base_tag=base_tag(),
        secrets=secrets or reader_of_command(settings),
    )


@asynccontextmanager
async def docker_backends(settings: DaemonSettings) -> AsyncIterator[Backends]:
    """The engine at the settings' address."""
    clients = DockerClients.connect(settings.engine)
    shares = ShareMounts(settings.share_mounts, address=clients.address)
    usages = DockerUsages(clients, StatsStreams(clients, SystemClock()))
    try:
        told = marks(settings.folder)
        engine = DockerEngine(clients, shares, marks=told)
        volumes = DockerVolumes.detect(
            clients,
            folder=settings.volumes_root,
            links=settings.volume_links,
            image=base_tag(),
            marks=told,
        )
        yield Backends(
            engine=engine,
            probe=engine,
            images=DockerImages(clients),
            pausing=DockerPausing(clients),
            repairs=DockerRepairs(clients),
            volumes=volumes,
            disks=volumes,
            shares=shares,
            networks=DockerNetworks(clients, marks=told),
            content=DockerVolumeContent(clients, marks=told),
            usages=usages,
        )
    finally:
        shares.close()
        await usages.aclose()
        await clients.aclose()
