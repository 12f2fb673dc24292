"""`orchestrator backup`."""

import json
import os
import time
from pathlib import Path

import click

from orchestrator.cli.context import instance_option, json_option, settings_of
from orchestrator.client.client import DaemonClient


@click.command()
@click.option("--output", metavar="FILE", help="Where to [orchestrator-INSTANCE-TIME.tar].")
@click.option("--no-volumes", is_flag=True, help="Leave the plugins' data out.")
@json_option
@instance_option
def command(*, output: str | None, no_volumes: bool, as_json: bool, instance: str | None) -> None:
    """Write state, audit log and the plugins' data to one file, while everything runs."""
    settings = settings_of(instance)
    at = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = os.path.abspath(output or f"orchestrator-{settings.instance}-{at}.tar")  # noqa: PTH100 - `..` goes
    made = DaemonClient(settings.socket).backup(Path(path), volumes=not no_volumes)
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    volumes = ", ".join(volume["plugin_id"] for volume in made["volumes"]) or "none"
    click.echo(
        f"{made['path']}: {made['bytes']:,} bytes; {made['records']} records,"
        f" {made['audit_records']} of the audit log, data of: {volumes}"
    )
    click.echo(f"SHA-256 of its manifest: {made['sha256_of_manifest']}")
    for text in made["left_out"]:
        click.echo(f"not in it: {text}")
