"""What `start`, `stop` and `remove` have in common: one word to the daemon, one line back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import click

from orchestrator.cli.context import client_at, settings_of
from orchestrator.cli.followed import set_back_words
from orchestrator.client.user import user_name

DONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "start": "is wanted running; `orchestrator ps` shows how it comes up",
        "stop": "is being stopped; `orchestrator start` brings it back",
        "remove": "is being taken away; its data stays",
    }
)
NOTHING: Final[Mapping[str, str]] = MappingProxyType(
    {"start": "was wanted running already", "stop": "was wanted stopped already", "remove": ""}
)


def say(verb: str, plugin: str, *, reason: str, instance: str | None) -> None:
    """Raises DaemonProblem (plugin_not_found, dependencies_unresolved)."""
    settings = settings_of(instance)
    changed = client_at(settings).switch_plugin(plugin, verb, who=user_name(), why=reason)
    words = set_back_words(settings, [plugin]) if changed else ""
    done = {**DONE, "stop": "is being stopped"} if words else DONE
    click.echo(f"{plugin}: {(done if changed else NOTHING)[verb]}")
    if words:
        click.echo(words, err=True)
