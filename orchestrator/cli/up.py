"""`orchestrator up`."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from orchestrator.cli.chosen_git import git_options, has_git
from orchestrator.cli.context import (
    client_at,
    config_file,
    config_option,
    environment_option,
    instance_option,
    manifest_paths,
    settings_of,
    user_name,
)
from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.cli.gitops import exit_code, show, until_settled
from orchestrator.cli.monitoring import tell_monitoring
from orchestrator.cli.permissions import held_lines
from orchestrator.cli.progress import Progress
from orchestrator.cli.render import failed_revision, plugin_rows, printable, repair_lines
from orchestrator.client.client import DaemonClient, DaemonNotRunning
from orchestrator.client.gitops import GitOpsClient
from orchestrator.client.settled import fell_short, settled
from orchestrator.client.spawn import spawn, wait_for_end
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.load import load_instance_config, load_manifests

POLL_SECONDS: Final = 0.1
WAIT_SECONDS: Final = 1_800.0
"""Longest `--wait`: base image and all plugin images built from nothing."""


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...")
@click.option("--detach", "-d", is_flag=True, help="Leave the daemon in the background.")
@click.option("--wait", is_flag=True, help="With --detach: until every plugin runs or failed.")
@click.option(
    "--monitoring/--no-monitoring",
    default=None,
    help="Prometheus and Grafana beside the daemon [as it was, or as orchestrator.yaml says].",
)
@click.option("--git", "url", metavar="URL", help="Follow this git repository.")
@click.option("--ref", metavar="REF", help="With --git: a branch, tag or commit [main].")
@click.option("--path", metavar="FOLDER", help="With --git: of the manifests [manifests].")
@instance_option
@config_option
@environment_option
def command(
    paths: tuple[str, ...],
    *,
    detach: bool,
    wait: bool,
    monitoring: bool | None,
    url: str | None,
    ref: str | None,
    path: str | None,
    instance: str | None,
    config: str | None,
    environment: str | None,
) -> int:
    """Bring plugins up as the manifests say, and keep them so.

    PATHS are manifests or folders of manifests [manifests/]. What they hold is made so; plugins
    that came from them before and are no longer there are removed; plugins from other paths are
    left alone. Without --detach the command stays, and Ctrl-C takes the plugins down.

    With --git, or without PATHS where the policy's file has `git`, the manifests of a git
    repository are followed.
    """
    settings, policy = settings_of(instance), config_file(config)
    over = git_options(url, ref, path)
    if over or (not paths and has_git(policy)):
        if environment is not None:
            over["environment"] = environment
        if paths:
            raise click.UsageError(
                "found PATHS beside --git, --ref or --path: expected one of both"
            )
        return _up_git(settings, policy, over, detach=detach, wait=wait, monitoring=monitoring)
    manifests = manifest_paths(paths)
    # Checked here first: a mistake in a file must not even start a daemon.
    load_manifests(manifests, environment)
    if policy is not None:
        load_instance_config(policy)
    client = client_at(settings)
    ours = _ensure_daemon(client, settings)
    try:
        names = _apply(
            client, settings, manifests, policy, environment, ours=ours, monitoring=monitoring
        )
        return _follow(client, names, detach=detach, wait=wait, ours=ours)
    except KeyboardInterrupt:
        if detach or not ours:
            raise
        return _take_down(client, settings)


def _up_git(
    settings: DaemonSettings,
    policy: Path | None,
    over: dict[str, str],
    *,
    detach: bool,
    wait: bool,
    monitoring: bool | None,
) -> int:
    client = GitOpsClient(settings.socket)
    ours = _ensure_daemon(client, settings)
    try:
        _follow_git(client, settings, policy, over, ours=ours, monitoring=monitoring)
        if detach and not wait:
            return OK
        answer = until_settled(client)
        show(answer)
        tell_monitoring(client)
        if detach:
            return exit_code(answer)
        _stay(client)
    except KeyboardInterrupt:
        if detach or not ours:
            raise
        return _take_down(client, settings)
    return OK


def _follow_git(
    client: GitOpsClient,
    settings: DaemonSettings,
    policy: Path | None,
    over: dict[str, str],
    *,
    ours: bool,
    monitoring: bool | None,
) -> None:
    try:
        followed = client.follow(over, policy, who=user_name(), monitoring=monitoring)
    except BaseException:
        if ours and not client.plugins():
            client.shut_down(down=False, volumes=False)  # nothing half started
            wait_for_end(settings.lock_file)
        raise
    click.echo(f"following {printable(followed['url'])} {printable(followed['ref'])}", err=True)


def _ensure_daemon(client: DaemonClient, settings: DaemonSettings) -> bool:
    """Whether this command started it."""
    if client.is_running():
        return False
    pid = spawn(
        folder=settings.folder,
        socket=settings.socket,
        log_file=settings.log_file,
        instance=settings.instance,
    )
    click.echo(
        f"daemon of instance {settings.instance} started (pid {pid}, log {settings.log_file})",
        err=True,
    )
    return True


def _apply(
    client: DaemonClient,
    settings: DaemonSettings,
    manifests: Sequence[Path],
    policy: Path | None,
    environment: str | None,
    *,
    ours: bool,
    monitoring: bool | None,
) -> list[str]:
    try:
        return client.apply(list(manifests), policy, environment, monitoring=monitoring)
    except BaseException:
        if ours and not client.plugins():
            client.shut_down(down=False, volumes=False)  # nothing half started
            wait_for_end(settings.lock_file)
        raise


def _follow(
    client: DaemonClient, names: Sequence[str], *, detach: bool, wait: bool, ours: bool
) -> int:
    if detach and not wait:
        tell_monitoring(client, wait=False)
        click.echo(f"{len(names)} plugins wanted; `orchestrator ps` shows them", err=True)
        return BY_KIND[Kind.DENIED] if _tell_held(client.plugins(), names) else OK
    plugins = _wait(client, names)
    click.echo(plugin_rows(plugins))
    waiting = _tell_held(plugins, names)
    short = [row for row in plugins if row["plugin_id"] in names and fell_short(row)]
    for row in short:
        _tell_failed(client, row)
    tell_monitoring(client)
    if detach:
        return BY_KIND[Kind.PLUGIN if short else Kind.DENIED] if short or waiting else OK
    end = "Ctrl-C stops and removes them" if ours else "Ctrl-C leaves them running"
    click.echo(f"\nup; {end}", err=True)
    _stay(client)
    return OK


def _tell_failed(client: DaemonClient, row: Mapping[str, Any]) -> None:
    """Why, and what may mend it."""
    click.echo(f"\n{row['plugin_id']}: {printable(str(row['detail']))}", err=True)
    with contextlib.suppress(OrchestratorError):  # somebody may just have taken it away
        plugin = client.plugin(str(row["plugin_id"]))
        failed = failed_revision(plugin) or (plugin if row["status"] == "error" else {})
        for line in repair_lines(failed.get("last_words") or {}):
            click.echo(line, err=True)


def _tell_held(plugins: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bool:
    """Whether an update of the named plugins waits for a grant; it is shown."""
    held = [row for row in plugins if row["plugin_id"] in names and row.get("held")]
    for row in held:
        lines = held_lines(str(row["plugin_id"]), row["held"])
        click.echo("\n" + "\n".join(lines), err=True)
    return bool(held)


def _wait(client: DaemonClient, names: Sequence[str]) -> list[dict[str, Any]]:
    """Show progress until every named plugin runs, is stopped as wanted, or has failed."""
    progress = Progress()
    until = time.monotonic() + WAIT_SECONDS
    while True:
        plugins = client.plugins()
        progress.show(plugins)
        waited_for: list[Mapping[str, Any]] = [r for r in plugins if r["plugin_id"] in names]
        done = all(settled(row) for row in waited_for)
        if done or time.monotonic() > until:
            progress.end()
            return plugins
        time.sleep(POLL_SECONDS)


def _stay(client: DaemonClient) -> None:
    """Until Ctrl-C, or until the daemon ends; changes are told as they come."""
    progress = Progress()
    while True:
        try:
            progress.show(client.plugins())
        except DaemonNotRunning:
            click.echo("the daemon ended", err=True)
            return
        time.sleep(1.0)


def _take_down(client: DaemonClient, settings: DaemonSettings) -> int:
    click.echo("\nstopping the plugins (their data is kept)", err=True)
    with contextlib.suppress(DaemonNotRunning):  # the interrupted step may have ended it
        client.shut_down(down=True, volumes=False)
    wait_for_end(settings.lock_file)
    return OK
