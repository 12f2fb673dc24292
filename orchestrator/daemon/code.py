"""The code sandbox put together: a part of the composition root (build.py) of its own."""

import asyncio
from dataclasses import dataclass

from orchestrator.clock import Clock
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import Engine, ImageStore, VolumeStore
from orchestrator.engine.code_image import CodeImages
from orchestrator.engine.pausing import Pausing
from orchestrator.manager.code_access import CodeAccess
from orchestrator.manager.deployment import Place
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.shares import real_shares
from orchestrator.model.audit import Auditor
from orchestrator.policy.compile import Site
from orchestrator.sandbox.code import CodeSandbox, Ground
from orchestrator.sandbox.code_box import BoxMaker
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.egress_uplink import Uplink
from orchestrator.sandbox.host_api import Neighbours
from orchestrator.sandbox.party_counts import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeParts:
    """What the code sandbox shares with the rest of the daemon."""

    engine: Engine
    images: ImageStore
    volumes: VolumeStore
    pausing: Pausing | None
    base_lock: asyncio.Lock
    place: Place
    wheel: DeadlineWheel
    auditor: Auditor
    clock: Clock
    neighbours: Neighbours
    uplink: Uplink
    counts: Counts


def code_sandbox(settings: DaemonSettings, manager: PluginManager, parts: CodeParts) -> CodeSandbox:
    """Not running yet: `CodeSandbox.run` is its life."""
    place = parts.place
    images = CodeImages(
        images=parts.images,
        cache=settings.cache,
        policy=lambda: manager.policy.build,
        base_lock=parts.base_lock,
    )
    access = CodeAccess(
        auditor=parts.auditor,
        clock=parts.clock,
        neighbours=parts.neighbours,
        uplink=parts.uplink,
        policy=lambda: manager.policy,
        counts=parts.counts,
    )

    def site(shares: tuple[str, ...]) -> Site:
        return Site(
            prefix=f"orchestrator-{place.instance}-{place.owner}",
            sockets_root=place.sockets_root,
            secrets_root=place.secrets_root,
            shares=real_shares(manager.policy, shares, home=settings.home),
            seccomp_profile=place.seccomp_profile,
        )

    return CodeSandbox(
        maker=BoxMaker(
            engine=parts.engine,
            pausing=parts.pausing,
            volumes=parts.volumes,
            labels=place.labels,
            wheel=parts.wheel,
            brokers=access.brokers,
        ),
        ground=Ground(
            policy=lambda: manager.policy,
            site=site,
            languages=images.ensure,
        ),
        auditor=parts.auditor,
        clock=parts.clock,
    )
