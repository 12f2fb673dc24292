"""What every command needs to know: which instance, where its socket is, where the policy lies."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cli.render import printable
from orchestrator.client.client import DaemonClient
from orchestrator.daemon.settings import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    ENVIRONMENT_VARIABLE,
    DaemonSettings,
    InvalidSetting,
    settings_from,
)
from orchestrator.version import CORE_VERSION

F = TypeVar("F", bound=Callable[..., Any])


def instance_option(function: F) -> F:
    """`--instance NAME`, on every command that speaks of running plugins."""
    return click.option(
        "--instance", metavar="NAME", help="Which instance [ORCHESTRATOR_INSTANCE, or default]."
    )(function)


def config_option(function: F) -> F:
    """`--config FILE`, on every command that weighs permissions."""
    return click.option(
        "--config",
        metavar="FILE",
        help="The policy's file [ORCHESTRATOR_CONFIG, or ./orchestrator.yaml if there is one].",
    )(function)


def environment_option(function: F) -> F:
    """`--environment NAME`, on every command that reads manifests."""
    return click.option(
        "--environment",
        "-e",
        metavar="NAME",
        envvar=ENVIRONMENT_VARIABLE,
        help=f"Whose patches lie over the manifests [{ENVIRONMENT_VARIABLE}, or none].",
    )(function)


def json_option(function: F) -> F:
    """`--json`: stable output for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def reason_option(where: str) -> Callable[[F], F]:
    """`--reason`: why, kept in the audit log and `where`."""
    help_text = f"Why, for the audit log and {where}."
    return click.option("--reason", metavar="TEXT", default="", help=help_text)


def settings_of(instance: str | None) -> DaemonSettings:
    """Raises InvalidSetting."""
    return settings_from(
        os.environ, instance=instance, user_home=Path.home(), is_root=os.geteuid() == 0
    )


def client_of(instance: str | None) -> DaemonClient:
    """A client of the instance's daemon, running or not."""
    return client_at(settings_of(instance))


def client_at(settings: DaemonSettings) -> DaemonClient:
    """The same, where the settings are known."""
    return DaemonClient(settings.socket, on_other_version=tell_version)


def tell_version(version: str) -> None:
    click.echo(
        f"note: the daemon is version {printable(version)} and this command {CORE_VERSION}; "
        f"`orchestrator daemon restart` brings it to {CORE_VERSION}, and plugins run on",
        err=True,
    )


def config_file(option: str | None) -> Path | None:
    """The policy's file, absolute; None for the default policy. Raises InvalidSetting."""
    named = option or os.environ.get(CONFIG_VARIABLE)
    path = Path(named or DEFAULT_CONFIG).absolute()
    if path.is_file():
        return path
    if named:
        raise InvalidSetting(
            f"--config / {CONFIG_VARIABLE}: found {named!r}, expected an existing file"
        )
    return None


def manifest_paths(arguments: tuple[str, ...]) -> list[Path]:
    """Absolute paths of manifests; `manifests/` where none are named."""
    return [Path(os.path.abspath(text)) for text in arguments or ("manifests",)]  # noqa: PTH100 - `..` goes, links stay
