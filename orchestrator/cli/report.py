"""`orchestrator report`."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from orchestrator.cli.context import instance_option, settings_of, tell_version
from orchestrator.client.analytics import AnalyticsClient
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.monitoring.report_html import html_report
from orchestrator.monitoring.report_markdown import markdown_report
from orchestrator.monitoring.report_text import Paint, text_report, without_colours

_STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "title": {"bold": True},
    "head": {"dim": True},
    "dim": {"dim": True},
    "good": {"fg": "green"},
    "warn": {"fg": "yellow"},
    "bad": {"fg": "red"},
}


class ReportNotWritten(OrchestratorError):
    """The file of a report cannot be written."""

    kind, code = Kind.INVALID, "report_not_written"


@click.command()
@click.option(
    "--timeframe",
    metavar="TIME",
    default="24h",
    help="How far back: minutes, hours or days such as 15m, 24h, 7d [24h].",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html", "markdown"]),
    default="text",
    help="How it looks [text]; html is one page with charts.",
)
@click.option("--output", metavar="FILE", help="Write it to this file.")
@instance_option
def command(*, timeframe: str, form: str, output: str | None, instance: str | None) -> None:
    """Show how the plugins did: calls, errors, time, resources, and what is worth doing."""
    client = AnalyticsClient(settings_of(instance).socket, on_other_version=tell_version)
    report = client.generate_report(timeframe)
    coloured = output is None and sys.stdout.isatty()
    text = _FORMS[form](report, painted if coloured else without_colours)
    if output is None:
        click.echo(text, nl=False)
        return
    _write(Path(output), text)
    click.echo(f"{form} report of the last {timeframe} written to {output}", err=True)


def painted(style: str, text: str) -> str:
    """`text` in the colours of that style."""
    return click.style(text, **_STYLES[style])


_FORMS: Final[Mapping[str, Callable[[Mapping[str, Any], Paint], str]]] = {
    "text": text_report,
    "json": lambda report, _: json.dumps(report, indent=2) + "\n",
    "html": lambda report, _: html_report(report),
    "markdown": lambda report, _: markdown_report(report),
}


def _write(path: Path, text: str) -> None:
    """Raises ReportNotWritten."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportNotWritten(
            f"--output: found {str(path)!r}, which cannot be written ({error.strerror or error}), "
            "expected a file in a folder that is there"
        ) from error
