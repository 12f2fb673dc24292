"""Restoring an instance: by the command, and by the start after one that was killed."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.daemon.backends import Backends, place_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.backups import tidy
from orchestrator.manager.manager import OPERATOR
from orchestrator.manager.restoring import (
    Ground,
    Restored,
    drop_draft,
    finish,
    stage,
    unfinished,
)
from orchestrator.store.base import RecordStore

_LOG = logging.getLogger("orchestrator")


class DaemonRunning(OrchestratorError):
    """Another daemon holds the instance."""

    kind, code = Kind.CONFLICT, "daemon_running"


@contextmanager
def instance_lock(settings: DaemonSettings) -> Iterator[None]:
    """Nobody else's daemon runs meanwhile. Raises DaemonRunning."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.folder.chmod(0o700)
    file = take_lock(settings)
    try:
        yield
    finally:
        os.close(file)


def take_lock(settings: DaemonSettings) -> int:
    """Its descriptor: held until that is closed, or the process ends. Raises DaemonRunning."""
    file = os.open(settings.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise DaemonRunning(
            f"a daemon of instance {settings.instance!r} runs already ({settings.folder})"
        ) from error
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    return file


async def restore(
    settings: DaemonSettings,
    backends: Backends,
    source: Path,
    *,
    clock: Clock,
    with_volumes: bool,
    who: str = OPERATOR,
) -> Restored:
    """The instance's lock is held. Raises what `stage` and `finish` raise."""
    with closing(open_state(settings, now=clock.now())) as store:
        ground = _ground(settings, backends, store, clock)
        await tidy(backends.engine, ground.place.labels)
        unfinished(settings.folder)  # one that could not be ended gives way when this one is whole
        stage(source, settings.folder, with_volumes=with_volumes, who=who)
        return await finish(ground)


async def go_on(settings: DaemonSettings, backends: Backends, *, clock: Clock) -> None:
    """At a daemon's start: what a killed restore or backup left. Raises what `finish` raises."""
    state = unfinished(settings.folder)
    if not state:
        return
    with closing(open_state(settings, now=clock.now())) as store:
        ground = _ground(settings, backends, store, clock)
        await tidy(backends.engine, ground.place.labels)
        if state == "draft":
            _LOG.warning("a restore was cut off before it changed anything")
            drop_draft(ground)
        else:
            _LOG.warning("a restore was cut off: going on with it")
            restored = await finish(ground)
            _LOG.warning("restored from %s; %s", restored.order.source, restored.audit)


def _ground(
    settings: DaemonSettings, backends: Backends, store: RecordStore, clock: Clock
) -> Ground:
    return Ground(
        folder=settings.folder,
        audit_folder=settings.audit_folder,
        event_log=settings.event_log,
        place=place_of(settings),
        store=store,
        engine=backends.engine,
        volumes=backends.volumes,
        content=backends.content,
        clock=clock,
    )
