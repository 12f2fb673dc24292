"""`orchestrator down`."""

import asyncio
import contextlib
import shutil

import click

from orchestrator.cli.context import client_at, instance_option, settings_of
from orchestrator.client.client import DaemonNotRunning
from orchestrator.client.spawn import wait_for_end
from orchestrator.clock import SystemClock
from orchestrator.daemon.backends import docker_backends, place_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state
from orchestrator.manager.fleet import forget_all
from orchestrator.manager.sweep import sweep


@click.command()
@click.option("--volumes", is_flag=True, help="Remove the plugins' data as well.")
@instance_option
def command(*, volumes: bool, instance: str | None) -> None:
    """Stop and remove everything of this instance: plugins in order, then the daemon.

    The plugins' data under /data is kept, unless --volumes says otherwise. What a killed daemon
    left behind is found by its labels and removed too.
    """
    settings = settings_of(instance)
    client = client_at(settings)
    before = 0
    if client.is_running():
        before = sum(1 for row in client.plugins() if row["container_id"])
        with contextlib.suppress(DaemonNotRunning):
            client.shut_down(down=True, volumes=volumes)
        wait_for_end(settings.lock_file)
    containers, removed = asyncio.run(_sweep(settings, with_volumes=volumes))
    _remove_state(settings, with_volumes=volumes)
    data = "their data removed" if volumes else "their data kept"
    click.echo(
        f"instance {settings.instance} is down: {before + containers} plugins stopped, {data}"
        + (f" ({removed} volumes)" if removed else "")
    )


async def _sweep(settings: DaemonSettings, *, with_volumes: bool) -> tuple[int, int]:
    async with docker_backends(settings) as backends:
        return await sweep(
            engine=backends.engine,
            volumes=backends.volumes,
            networks=backends.networks,
            labels=place_of(settings).labels,
            roots=(settings.sockets_root, settings.secrets_root, settings.monitoring_folder),
            with_volumes=with_volumes,
        )


def _remove_state(settings: DaemonSettings, *, with_volumes: bool) -> None:
    """What is wanted and the sockets go; logs stay; disks stay unless they were asked for.

    The state file stays too: it holds the newest place in the audit log.
    """
    settings.socket.unlink(missing_ok=True)
    if settings.store or settings.database.exists():
        store = open_state(settings, now=SystemClock().now())
        forget_all(store)
        store.close()
    if with_volumes:
        shutil.rmtree(settings.volumes_root, ignore_errors=True)
        shutil.rmtree(settings.volume_links, ignore_errors=True)
