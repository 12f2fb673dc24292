"""The daemon's life: lock, build, serve, reconcile, drain. Started by `python -m …daemon`."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from logging.handlers import RotatingFileHandler
from typing import Final

import uvicorn
import uvloop

from orchestrator.clock import SystemClock
from orchestrator.daemon.backends import Backends, docker_backends
from orchestrator.daemon.build import Daemon, build
from orchestrator.daemon.restore import go_on, take_lock
from orchestrator.daemon.router import ManagerRouter
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.supervise import supervised
from orchestrator.model.events import PluginEvent
from orchestrator.sandbox.listener import bind_unix
from orchestrator.server.front import FrontProtocol

LOG_BYTES: Final = 5_000_000
DRAIN_SECONDS: Final = 10.0
"""How long running calls may go on after SIGTERM."""
_LOG = logging.getLogger("orchestrator")


def run(settings: DaemonSettings) -> None:
    """Until SIGTERM, SIGINT or a shutdown request. Raises DaemonRunning."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.folder.chmod(0o700)
    take_lock(settings)  # waiting for the lock is waiting for this process's end
    _set_up_log(settings)
    uvloop.run(_main(settings))


async def _main(settings: DaemonSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with docker_backends(settings) as backends:
        await go_on(settings, backends, clock=SystemClock())
        await serve(settings, backends, stop)


async def serve(settings: DaemonSettings, backends: Backends, stop: asyncio.Event) -> None:
    """The whole daemon over any backends, until `stop`."""
    clock = SystemClock()
    async with build(settings, backends, clock=clock, shut_down=stop.set) as daemon:
        daemon.bus.listen(_log_event)
        server = await _listen(settings, daemon)
        _LOG.info("daemon of instance %s is up, pid %d", settings.instance, os.getpid())
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(supervised(name, run, daemon.bus))
                for name, run in _tasks(daemon).items()
            ]
            try:
                await stop.wait()
            finally:
                server.close()
                settings.socket.unlink(missing_ok=True)
            await _drain(daemon)
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
        "pages": daemon.ui.run,
        "code": daemon.code.run,
        "events": daemon.events.run,
        "leftovers": daemon.leftovers.run,
        "orphans": lambda: daemon.orphans.run(lambda: manager.policy.reconcile),
    }


async def _drain(daemon: Daemon) -> None:
    daemon.manager.loop.doors.close()
    sandboxes = list(daemon.manager.fleet.sandboxes.values())
    await asyncio.gather(*(sandbox.drain(grace_seconds=DRAIN_SECONDS) for sandbox in sandboxes))


async def _listen(settings: DaemonSettings, daemon: Daemon) -> asyncio.AbstractServer:
    config = uvicorn.Config(
        daemon.api.app(),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    state = uvicorn.Server(config).server_state
    router = ManagerRouter(daemon.manager)

    def other() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

    sock = bind_unix(settings.socket, mode=0o600)
    return await asyncio.get_running_loop().create_unix_server(
        lambda: FrontProtocol(router, other), sock=sock
    )


def _set_up_log(settings: DaemonSettings) -> None:
    handler = RotatingFileHandler(settings.log_file, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    sys.excepthook = lambda kind, value, trace: _LOG.critical(
        "the daemon ends", exc_info=(kind, value, trace)
    )


def _log_event(event: PluginEvent) -> None:
    """Not what plugins publish: they could fill the log and so empty it of all else."""
    if event.source.startswith("plugin/"):
        return
    _LOG.info("%s %s %s", event.type, event.subject, json.dumps(dict(event.data)))
