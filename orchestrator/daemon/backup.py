"""The part of the composition root that makes backups."""

from typing import Protocol

from orchestrator.clock import Clock
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import Engine, VolumeStore
from orchestrator.engine.pausing import Pausing
from orchestrator.engine.volume_content import VolumeContent
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.backups import Backups
from orchestrator.manager.deployment import Place
from orchestrator.manager.fleet import Fleet
from orchestrator.store.audit_log import AuditLog


class Holds(Protocol):
    """Of the backends, those that a backup needs."""

    @property
    def engine(self) -> Engine: ...
    @property
    def volumes(self) -> VolumeStore: ...
    @property
    def content(self) -> VolumeContent | None: ...
    @property
    def pausing(self) -> Pausing | None: ...


def backups_of(
    settings: DaemonSettings,
    backends: Holds,
    place: Place,
    *,
    fleet: Fleet,
    audit: AuditLog,
    clock: Clock,
) -> Backups:
    """Made by the daemon that holds what it copies."""
    return Backups(
        fleet=fleet,
        audit=audit,
        event_log=settings.event_log,
        engine=backends.engine,
        volumes=backends.volumes,
        content=backends.content,
        pausing=backends.pausing,
        place=place,
        clerk=Clerk(audit, clock),
        clock=clock,
    )
