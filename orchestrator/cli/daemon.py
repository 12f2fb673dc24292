"""`orchestrator daemon`: the process behind everything, without touching the plugins."""

import os
import sys
import time
from typing import Final, NoReturn

import click

from orchestrator.cli.context import client_at, instance_option, json_option, settings_of
from orchestrator.cli.status import show_daemon
from orchestrator.client.client import DaemonClient, DaemonNotRunning
from orchestrator.client.spawn import (
    FOLLOW_SECONDS,
    daemon_command,
    daemon_environment,
    spawn,
    wait_for_end,
)
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.errors import Kind, OrchestratorError

_LOOK_SECONDS: Final = 0.05


class DaemonSupervised(OrchestratorError):
    """Somebody else starts and ends the daemon, and would undo what the command does."""

    kind, code = Kind.CONFLICT, "daemon_supervised"


class DaemonDidNotEnd(OrchestratorError):
    """It was told to, and is still there."""

    kind, code = Kind.TIMEOUT, "daemon_did_not_end"


@click.group()
@instance_option
@click.pass_context
def command(context: click.Context, *, instance: str | None) -> None:
    """Run, start, stop or restart the daemon alone; its plugins run on."""
    context.obj = settings_of(instance)


@command.command(short_help="Be the daemon, in the foreground, until SIGTERM.")
@click.pass_obj
def run(settings: DaemonSettings) -> NoReturn:
    """Be the daemon, in the foreground, until SIGTERM: for systemd and its like."""
    arguments = daemon_command(settings.instance, "--log-on-stderr")
    # In this very process: its pid and the sockets handed to it are what a supervisor knows.
    os.execve(sys.executable, arguments, daemon_environment(os.environ))  # noqa: S606 - our own


@command.command()
@click.pass_obj
def start(settings: DaemonSettings) -> None:
    """Start the daemon in the background, if it does not run."""
    client = client_at(settings)
    if client.is_running():
        click.echo(f"the daemon runs already (pid {client.status()['pid']})")
    else:
        click.echo(f"the daemon is started (pid {_spawn(settings)}, log {settings.log_file})")


@command.command()
@click.pass_obj
def stop(settings: DaemonSettings) -> None:
    """End the daemon once running calls have ended; its plugins run on."""
    client = client_at(settings)
    if client.is_running():
        supervisor = client.status()["supervisor"]
        if supervisor:
            raise DaemonSupervised(
                f"found a daemon that {supervisor} starts anew when it ends; stop it there: "
                f"{_stop_words(supervisor, settings.instance)}"
            )
        client.shut_down(down=False, volumes=False)
    if not wait_for_end(settings.lock_file, seconds=FOLLOW_SECONDS):
        raise DaemonDidNotEnd(f"the daemon goes on after {FOLLOW_SECONDS:g} s: {settings.log_file}")
    click.echo("the daemon is stopped; its plugins run on, and calls fail until it is started")


@command.command()
@click.pass_obj
def restart(settings: DaemonSettings) -> None:
    """Replace the daemon by one of this command's version.

    Plugins run on, running calls end, and calls that come meanwhile wait: none fails.
    """
    client = client_at(settings)
    if not client.is_running():
        click.echo(f"no daemon ran; it is started (pid {_spawn(settings)})")
        return
    before = DaemonClient(settings.socket).status()
    began = time.monotonic()
    if before["supervisor"]:
        client.shut_down(down=False, volumes=False, reason="daemon restart")
        after = _other(client, int(before["pid"]))
    else:
        _spawn(settings, follow=True)
        after = client.status()
    took = time.monotonic() - began
    click.echo(
        f"the daemon was restarted in {took:.1f} s: pid {before['pid']}, version "
        f"{before['version']} → pid {after['pid']}, version {after['version']}"
    )


@command.command()
@json_option
@click.pass_obj
def status(settings: DaemonSettings, *, as_json: bool) -> None:
    """Show the daemon; exit code 69 if it does not run."""
    show_daemon(client_at(settings).status(), as_json=as_json)


def _spawn(settings: DaemonSettings, *, follow: bool = False) -> int:
    return spawn(
        folder=settings.folder,
        socket=settings.socket,
        log_file=settings.log_file,
        instance=settings.instance,
        follow=follow,
    )


def _other(client: DaemonClient, pid: int) -> dict[str, object]:
    """The status of the daemon that the supervisor starts in the place of `pid`."""
    until = time.monotonic() + FOLLOW_SECONDS
    while time.monotonic() < until:
        try:
            found = client.status()
        except DaemonNotRunning:
            found = {"pid": pid}
        if found["pid"] != pid:
            return found
        time.sleep(_LOOK_SECONDS)
    raise DaemonDidNotEnd(f"found pid {pid} still, expected another after {FOLLOW_SECONDS:g} s")


def _stop_words(supervisor: str, instance: str) -> str:
    if supervisor == "systemd":
        return f"`systemctl stop orchestrator@{instance}.socket orchestrator@{instance}`"
    return "`docker stop` of its container"
