"""`orchestrator logs`."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from orchestrator.cli.context import client_of, instance_option, settings_of, tell_version
from orchestrator.cli.moments import moment
from orchestrator.cli.render import printable
from orchestrator.client.pages import PagesClient

_IDS: Final = ("request_id", "trace_id")
"""As the SDK names them in its lines, and as a plugin without it may."""


@click.command()
@click.argument("plugin")
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come, until Ctrl-C.")
@click.option("--since", metavar="WHEN", help="From then on: 30s, 10m, 2h, 1d or an ISO time.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
@click.option("--call", metavar="ID", help="Only lines of that call: its request or trace id.")
@click.option("--web", is_flag=True, help="Print where a browser of this machine shows it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@instance_option
def command(
    plugin: str,
    *,
    follow: bool,
    since: str | None,
    tail: int | None,
    call: str | None,
    web: bool,
    as_json: bool,
    instance: str | None,
) -> None:
    """Show what a plugin logged, also before its last restart.

    The address that --web prints holds a key: who has it reads every plugin's log. It fits until
    the daemon is started anew.
    """
    if web:
        if follow or since or tail or call:
            raise click.UsageError("--web goes with --json only: the page has its own choices")
        client = PagesClient(settings_of(instance).socket, on_other_version=tell_version)
        url = client.logs_url(plugin)
        click.echo(json.dumps({"url": url}) if as_json else printable(url))
        return
    lines = client_of(instance).logs(
        plugin, follow=follow, since=moment(since) if since else 0.0, tail=tail or 0
    )
    for line in lines:
        said = spoken(line["text"])
        if call is None or is_of(call, line["text"], said):
            click.echo(as_object(line, said) if as_json else _shown(line))


def spoken(text: str) -> Mapping[str, Any] | None:
    """A line of JSON as the object that it is; None for any other."""
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_of(call: str, text: str, said: Mapping[str, Any] | None) -> bool:
    """Whether a line was written in that call: as its fields say, or as it stands in the text."""
    return call in text if said is None else call in [said.get(name) for name in _IDS]


def as_object(line: Mapping[str, Any], said: Mapping[str, Any] | None) -> str:
    """One JSON line: when the engine took it, where it was written, and what it says."""
    words: dict[str, Any] = {"text": line["text"]} if said is None else {"line": said}
    return json.dumps({"at": line["at"], "stream": line["stream"], **words})


def _shown(line: Mapping[str, Any]) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(line["at"]))
    return f"{click.style(at, dim=True)} {printable(line['text'])}"
