"""`orchestrator schema`."""

import json

import click

from orchestrator.model.editor_schemas import editor_schemas


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
def command(name: str | None) -> None:
    """Print the JSON Schemas of the files, for editors: all, or the one named."""
    schemas = editor_schemas()
    if name is None:
        click.echo(json.dumps(schemas, indent=2))
    elif name in schemas:
        click.echo(json.dumps(schemas[name], indent=2))
    else:
        raise click.BadParameter(
            f"found {name!r}, expected one of {', '.join(schemas)}", param_hint="NAME"
        )
