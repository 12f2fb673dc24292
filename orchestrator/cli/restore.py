"""`orchestrator restore`."""

import asyncio
import contextlib
import os
from pathlib import Path

import click

from orchestrator.cli.context import instance_option, settings_of
from orchestrator.client.client import DaemonClient, DaemonNotRunning
from orchestrator.client.spawn import spawn, wait_for_end
from orchestrator.client.user import user_name
from orchestrator.clock import SystemClock
from orchestrator.daemon.backends import docker_backends
from orchestrator.daemon.restore import instance_lock, restore
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state_to_read
from orchestrator.manager.backup_file import BackupFile
from orchestrator.manager.fleet import DESIRED
from orchestrator.manager.restoring import Restored, RestoreRefused
from orchestrator.store.base import StoreCorrupt


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--no-volumes", is_flag=True, help="Leave the plugins' data as it is.")
@click.option("--yes", is_flag=True, help="Replace what the instance has.")
@instance_option
def command(file: str, *, no_volumes: bool, yes: bool, instance: str | None) -> None:
    """Give an instance the state, the audit log and the plugins' data of a backup.

    A daemon that runs is ended first and started again afterwards; plugins run on meanwhile, but
    for those whose data is replaced.
    """
    settings = settings_of(instance)
    source = Path(os.path.abspath(file))  # noqa: PTH100 - `..` goes, links stay
    with BackupFile.open(source):
        pass  # before anything is ended for it
    if not yes:
        _refuse_to_replace(settings)
    client = DaemonClient(settings.socket)
    was_running = client.is_running()
    if was_running:
        with contextlib.suppress(DaemonNotRunning):
            client.shut_down(down=False, volumes=False, reason="restore")
        wait_for_end(settings.lock_file)
    try:
        with instance_lock(settings):
            restored = asyncio.run(_restore(settings, source, with_volumes=not no_volumes))
    finally:
        if was_running:
            spawn(
                folder=settings.folder,
                socket=settings.socket,
                log_file=settings.log_file,
                instance=settings.instance,
            )
    order = restored.order
    volumes = ", ".join(volume.plugin_id for volume in order.volumes) or "none"
    click.echo(
        f"instance {settings.instance} is restored: {order.records} records, data of: {volumes};"
        f" {restored.audit}"
    )
    if not was_running:
        click.echo("no daemon runs: `orchestrator up` starts one, with the plugins as restored")


async def _restore(settings: DaemonSettings, source: Path, *, with_volumes: bool) -> Restored:
    async with docker_backends(settings) as backends:
        return await restore(
            settings,
            backends,
            source,
            clock=SystemClock(),
            with_volumes=with_volumes,
            who=user_name(),
        )


def _refuse_to_replace(settings: DaemonSettings) -> None:
    """Raises RestoreRefused if anything is wanted here."""
    try:
        store = open_state_to_read(settings)
    except StoreCorrupt as error:
        raise RestoreRefused(
            f"{error}; expected --yes to replace what can be saved of it"
        ) from error
    if store is None:
        return
    with contextlib.closing(store):
        plugins = ", ".join(sorted(store.load(DESIRED)))
    if plugins:
        raise RestoreRefused(
            f"instance {settings.instance}: found plugins that are wanted ({plugins}), expected"
            " none; --yes replaces them, or --instance names another"
        )
