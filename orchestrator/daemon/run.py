"""The daemon's life: lock, build, serve, reconcile, drain. Started by `python -m …daemon`."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import uvicorn
import uvloop

from orchestrator.clock import SystemClock
from orchestrator.daemon.backends import Backends, docker_backends
from orchestrator.daemon.build import Daemon, build
from orchestrator.daemon.drain import Ending, drain
from orchestrator.daemon.entrance import Entrance, followed, listens
from orchestrator.daemon.logs import LogFormat, log_event, set_up_log
from orchestrator.daemon.placed import runs_in_engine
from orchestrator.daemon.restore import DaemonRunning, go_on, take_lock
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.started import Started, user_of_process
from orchestrator.daemon.supervise import supervised
from orchestrator.daemon.systemd import Supervisor
from orchestrator.manager.auditing import Clerk
from orchestrator.server.front import FrontProtocol
from orchestrator.version import CORE_VERSION

LOCK_SECONDS: Final = 400.0
"""How long a daemon that ends may keep the next one waiting: more than it may take to drain."""
_LOOK_SECONDS: Final = 0.02
_LOG = logging.getLogger("orchestrator")


def run(
    settings: DaemonSettings,
    *,
    supervisor: Supervisor | None = None,
    follow: bool = False,
    on_stderr: bool = False,
) -> None:
    """Until SIGTERM, SIGINT or a shutdown request. Raises DaemonRunning and its like.

    With `follow` it takes the place of the daemon that runs now; `on_stderr` logs there as well.
    """
    supervisor = supervisor or Supervisor()
    if asyncio.run(runs_in_engine(settings)) and not supervisor.name:
        supervisor = replace(supervisor, name="docker")
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.folder.chmod(0o700)
    entrance = None
    if follow:
        entrance = followed(settings.socket, descriptors=supervisor.descriptors)
    _lock(settings, kept=bool(supervisor.descriptors), following=follow)
    set_up_log(settings.log_file, LogFormat(settings.log_format), on_stderr=on_stderr)
    if entrance is None or not entrance.is_ours():
        entrance = Entrance.open(settings.socket, descriptors=supervisor.descriptors)
    started = Started(following=follow, who="" if supervisor.name else user_of_process())
    uvloop.run(_main(settings, entrance, supervisor, started))


def _lock(settings: DaemonSettings, *, kept: bool, following: bool) -> None:
    """Held until the process ends, so that waiting for the lock is waiting for that end.

    A daemon that listens no more is about to end, and waited for; so is the one that is followed.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            take_lock(settings)
        except DaemonRunning:
            met = not (kept or following) and listens(settings.socket)
            if met or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(_LOOK_SECONDS)


async def _main(
    settings: DaemonSettings, entrance: Entrance, supervisor: Supervisor, started: Started
) -> None:
    ending = Ending()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.ask)
    async with docker_backends(settings) as backends:
        await go_on(settings, backends, clock=SystemClock())
        await serve(
            settings, backends, ending, entrance=entrance, supervisor=supervisor, started=started
        )


async def serve(
    settings: DaemonSettings,
    backends: Backends,
    ending: Ending,
    *,
    entrance: Entrance,
    supervisor: Supervisor,
    started: Started | None = None,
) -> None:
    """The whole daemon over any backends, until `ending`."""
    build_daemon = build(
        settings,
        backends,
        clock=SystemClock(),
        shut_down=ending.stop.set,
        supervisor=supervisor.name,
        environment=os.environ,
    )
    async with build_daemon as daemon:
        daemon.bus.listen(log_event)
        clerk = Clerk(daemon.audit, SystemClock())
        began = started or Started()
        clerk.daemon(began.words, {**began.data(), "supervisor": supervisor.name}, who=began.who)
        async with asyncio.TaskGroup() as group:
            own = _tasks(daemon)
            daemon.monitoring.instruments.happenings.expect(own)
            tasks = [
                group.create_task(supervised(name, run, daemon.bus)) for name, run in own.items()
            ]
            tasks.append(group.create_task(supervisor.keep_watch()))
            server = await _listen(entrance, daemon)
            _LOG.info(
                "daemon of instance %s is up, pid %d, version %s",
                *(settings.instance, os.getpid(), CORE_VERSION),
            )
            supervisor.notify("READY=1", f"STATUS=version {CORE_VERSION}")
            try:
                await ending.stop.wait()
            finally:
                supervisor.notify("STOPPING=1")
                clerk.daemon("daemon ends", {"pid": os.getpid()})
                entrance.withdraw()
                await asyncio.sleep(0)  # who found the socket until now is still let in
                server.close()
            await _leave(daemon, ending)
            for task in tasks:
                task.cancel()
        _LOG.info("daemon of instance %s ends; its plugins run on", settings.instance)


def _tasks(daemon: Daemon) -> dict[str, Callable[[], Awaitable[None]]]:
    """What the daemon does beside answering, by name; each for ever."""
    manager = daemon.manager
    return {
        "reconcile": manager.loop.run,
        "audit": daemon.audit.keep_synced,
        "probes": lambda: daemon.prober.run(lambda: manager.policy.lifecycle),
        "networks": lambda: daemon.networks.run(lambda: manager.policy),
        "watch": daemon.watch.run,
        "rotation": daemon.rotation.run,
        "pages": daemon.ui.run,
        "code": daemon.code.run,
        "events": daemon.events.run,
        "gitops": daemon.git.gitops.run,
        "webhook": daemon.git.listener.run,
        "leftovers": daemon.leftovers.run,
        "sampler": daemon.monitoring.sampler.run,
        "looks": daemon.monitoring.looks.run,
        "metrics": daemon.monitoring.listener.run,
        "stack": daemon.stack.run,
        **({"traces": daemon.monitoring.tracing.run} if daemon.monitoring.tracing else {}),
        "figures": daemon.figures.keeper.run,
        "orphans": lambda: daemon.orphans.run(lambda: manager.policy.reconcile),
    }


async def _leave(daemon: Daemon, ending: Ending) -> None:
    cut = await drain(
        daemon.gate,
        daemon.manager.fleet.sandboxes.values,
        seconds=daemon.manager.policy.lifecycle.drain_seconds,
        hurry=ending.hurry,
    )
    if cut:
        _LOG.warning("%d calls were cut off", cut)
    daemon.manager.loop.doors.close()


async def _listen(entrance: Entrance, daemon: Daemon) -> asyncio.AbstractServer:
    config = uvicorn.Config(
        daemon.gate.watch(daemon.api.app()),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    state = uvicorn.Server(config).server_state

    def other() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

    return await asyncio.get_running_loop().create_unix_server(
        lambda: FrontProtocol(daemon.gate, other, daemon.gate.busy), sock=entrance.sock
    )
