"""`orchestrator render`."""

import json
from collections.abc import Sequence

import click
from pydantic import JsonValue

from orchestrator.cli.context import environment_option, json_option, manifest_paths
from orchestrator.cli.manifest_words import widened_by_patch
from orchestrator.cli.render import printable
from orchestrator.model.load import LoadedManifest, load_manifests
from orchestrator.model.problems import dotted
from orchestrator.model.yaml_text import dump_yaml


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...")
@environment_option
@json_option
def command(paths: tuple[str, ...], *, environment: str | None, as_json: bool) -> None:
    """Show the manifests as an environment has them: each with its patch over it.

    PATHS are manifests or folders of them [manifests/]. Needs neither a daemon nor an engine.
    Secrets are references in manifests, and stay so.
    """
    loaded = load_manifests(manifest_paths(paths), environment)
    wider = widened_by_patch(loaded)
    if as_json:
        rows = [_json(one, wider.get(one.manifest.metadata.name, ())) for one in loaded]
        click.echo(json.dumps(rows, indent=2))
        return
    texts = [_text(one, wider.get(one.manifest.metadata.name, ())) for one in loaded]
    click.echo(printable("---\n".join(texts)), nl=False)


def _text(one: LoadedManifest, wider: Sequence[str]) -> str:
    """A manifest that loads again; what is not in it stands in comments."""
    notes = [f"from {one.path}"]
    if one.patch is not None:
        notes.append(f"patched by {one.patch}")
    notes += [f"the patch widens: {text}" for text in wider]
    # A comment ends with its line, whatever a file's name holds.
    head = "".join(f"# {' '.join(note.split())}\n" for note in notes)
    return head + dump_yaml(one.data)


def _json(one: LoadedManifest, wider: Sequence[str]) -> dict[str, JsonValue]:
    places = {
        dotted(path): f"{place.file or one.path}:{place.line}"
        for path, place in one.positions.known.items()
        if path
    }
    return {
        "plugin_id": one.manifest.metadata.name,
        "file": str(one.path),
        "patch": str(one.patch) if one.patch is not None else None,
        "widens": list(wider),
        "manifest": one.data,
        "lines": {**places},
    }
