"""`orchestrator`: finds the command, runs it, and turns errors into words and exit codes.

Commands are imported when they are called: `orchestrator --help` must not pay for pydantic.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import click

from orchestrator.cli.exits import BY_KIND, INTERRUPTED, OK, USAGE
from orchestrator.cli.render import printable
from orchestrator.client.problem import DaemonProblem
from orchestrator.errors import OrchestratorError
from orchestrator.version import CORE_VERSION

COMMANDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "up": ("orchestrator.cli.up", "Bring plugins up as the manifests say, and keep them so."),
        "down": ("orchestrator.cli.down", "Stop and remove everything of this instance."),
        "start": ("orchestrator.cli.start", "Want a plugin running that was stopped."),
        "stop": ("orchestrator.cli.stop", "Stop a plugin until `start`."),
        "remove": ("orchestrator.cli.remove", "Take one plugin away; its data stays."),
        "daemon": ("orchestrator.cli.daemon", "Run, start, stop or restart the daemon alone."),
        "plan": ("orchestrator.cli.plan", "Show what `up` would do, without doing it."),
        "render": (
            "orchestrator.cli.render_manifests",
            "Show the manifests as an environment has them.",
        ),
        "ps": ("orchestrator.cli.ps", "List the plugins and how they do."),
        "status": ("orchestrator.cli.status", "Show everything of a plugin, or the daemon itself."),
        "call": ("orchestrator.cli.call", "Call a plugin, or one of its tools."),
        "run-code": ("orchestrator.cli.run_code", "Run code in a throw-away sandbox."),
        "logs": ("orchestrator.cli.logs", "Show what a plugin logged."),
        "report": ("orchestrator.cli.report", "Show how the plugins did, and what is worth doing."),
        "top": ("orchestrator.cli.top", "Show live what the plugins do."),
        "runbook": ("orchestrator.cli.runbook", "Say what to do when an alert fires."),
        "explain": ("orchestrator.cli.explain", "Say what a plugin may do and what holds it."),
        "permissions": (
            "orchestrator.cli.permissions",
            "List, check, grant, revoke and reset permissions.",
        ),
        "rollout": (
            "orchestrator.cli.rollout",
            "Show, undo, pause and resume changes of plugins.",
        ),
        "gitops": (
            "orchestrator.cli.gitops",
            "Show and steer the following of a git repository.",
        ),
        "audit": ("orchestrator.cli.audit", "Show, verify, export or archive the audit log."),
        "events": ("orchestrator.cli.events", "Publish, follow, replay and discard events."),
        "backup": (
            "orchestrator.cli.backup",
            "Write state, audit log and the plugins' data to a file.",
        ),
        "restore": ("orchestrator.cli.restore", "Give an instance what a backup holds."),
        "ui": ("orchestrator.cli.ui", "Print the address of a plugin's pages."),
        "validate": ("orchestrator.cli.validate", "Check manifests and plugin folders."),
        "schema": ("orchestrator.cli.schema", "Print the JSON Schemas of the files, for editors."),
        "doctor": ("orchestrator.cli.doctor", "Check what this machine and its engine can hold."),
    }
)


class _Commands(click.Group):
    """Knows the commands' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(CORE_VERSION, prog_name="orchestrator")
def cli() -> None:
    """Run plugins for AI agents in containers they cannot leave."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Leaves with the documented exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """One command; its exit code."""
    try:
        result = cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="orchestrator",
            standalone_mode=False,
        )
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except DaemonProblem as error:
        _show(error, error.remote_code)
        return BY_KIND[error.remote_kind]
    except OrchestratorError as error:
        _show(error, error.code)
        return BY_KIND[error.kind]
    return result if isinstance(result, int) else OK


def _show(error: OrchestratorError, code: str) -> None:
    sign = click.style("error", fg="red", bold=True)
    click.echo(f"{sign} [{printable(code)}] {printable(str(error))}", err=True)
