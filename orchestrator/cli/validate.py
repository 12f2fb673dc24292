"""`orchestrator validate`."""

from pathlib import Path
from typing import Final

import click

from orchestrator.cli.context import environment_option
from orchestrator.model.load import load_instance_config, load_manifests, load_plugin_info
from orchestrator.model.problems import InvalidFile, Problem

_METADATA: Final = ("plugin.yaml", "plugin.json")
_CONFIG: Final = "orchestrator.yaml"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@environment_option
def command(paths: tuple[str, ...], *, environment: str | None) -> None:
    """Check manifests, plugin folders and orchestrator.yaml; every problem with its line.

    A folder with plugin.yaml in it is a plugin's, any other folder holds manifests. Needs neither
    a daemon nor an engine.
    """
    problems: list[Problem] = []
    checked: list[str] = []
    manifests: list[Path] = []
    for text in paths:
        path = Path(text)
        if not _is_manifest(path):
            try:
                checked.append(_one(path))
            except InvalidFile as error:
                problems += error.problems
        else:
            manifests.append(path)
    if manifests:
        try:
            loaded = load_manifests(manifests, environment)
            checked += [
                f"{item.path}: manifest of {item.manifest.metadata.name}" for item in loaded
            ]
        except InvalidFile as error:
            problems += error.problems
    for line in checked:
        click.echo(f"{click.style('✔', fg='green')} {line}")
    if problems:
        raise InvalidFile(problems)


def _is_manifest(path: Path) -> bool:
    if path.is_dir():
        return not any((path / name).exists() for name in _METADATA)
    return path.name not in {*_METADATA, _CONFIG}


def _one(path: Path) -> str:
    if path.name == _CONFIG:
        load_instance_config(path.absolute())
        return f"{path}: policy"
    folder = path if path.is_dir() else path.parent
    info = load_plugin_info(folder)
    return f"{path}: plugin {info.plugin_id} {info.version}"
