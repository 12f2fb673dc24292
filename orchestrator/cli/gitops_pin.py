"""`orchestrator gitops pin`."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.cli.context import environment_option, json_option
from orchestrator.cli.exits import OK
from orchestrator.cli.render import printable
from orchestrator.gitops.address import check_path
from orchestrator.gitops.clone import LocalClone
from orchestrator.gitops.pin import Image, Pin, Pinned, pinned
from orchestrator.model.environments import ENVIRONMENTS
from orchestrator.model.files import MANIFEST_SUFFIXES


@click.command(short_help="Put an image's version and digest into manifests.")
@click.option("--branch", required=True, metavar="BRANCH", help="The branch that gets the commit.")
@click.option("--plugin", metavar="PLUGIN", help="Whose [all that have the image's repository].")
@click.option("--image", metavar="IMAGE", help="To this one: NAME:TAG@sha256:…")
@click.option("--version", metavar="TAG", help="To this tag of the image that it has.")
@click.option("--digest", metavar="DIGEST", help="To this digest: sha256:…")
@click.option("--repo", metavar="FOLDER", default=".", help="The local clone [.].")
@click.option("--path", metavar="FOLDER", default="manifests", help="Of manifests [manifests].")
@click.option("--message", metavar="TEXT", default="", help="Of the commit.")
@environment_option
@json_option
def command(
    *,
    branch: str,
    plugin: str | None,
    image: str | None,
    version: str | None,
    digest: str | None,
    repo: str,
    path: str,
    message: str,
    environment: str | None,
    as_json: bool,
) -> int:
    """Put an image's version and digest into manifests, as a commit on a branch.

    In a local clone, whose work tree is not touched. Comments and quotes stay. With --environment
    its patches are changed, else the bases.
    """
    given = Image.of(image) if image is not None else None
    pin = Pin(plugin=plugin, image=given, version=version, digest=digest)
    pin.check()
    folder = check_path(path)
    if environment is not None:
        folder = check_path(f"{folder}/{ENVIRONMENTS}/{environment}")
    clone = LocalClone(Path(repo))
    parent, exists = clone.tip(branch)
    changed, meant = pinned(clone.read(parent, folder, MANIFEST_SUFFIXES), pin)
    commit = ""
    if changed:
        clone.check_clean([one.file for one in changed])
        content = {one.file: one.content for one in changed}
        commit = clone.commit(branch, parent, content, message or _message(changed), new=not exists)
    if as_json:
        rows = [
            {"file": one.file, "plugin_id": one.plugin_id, "old": one.old, "new": one.new}
            for one in changed
        ]
        click.echo(json.dumps({"branch": branch, "commit": commit or None, "changed": rows}))
    else:
        _show(changed, meant, branch, commit)
    return OK


def _message(changed: Sequence[Pinned]) -> str:
    names = ", ".join(one.plugin_id for one in changed)
    rows = "\n".join(f"{one.plugin_id}: {one.old} -> {one.new}" for one in changed)
    return f"Pin {names if len(names) <= 60 else f'{len(changed)} plugins'}\n\n{rows}\n"  # noqa: PLR2004 - a subject's length


def _show(changed: Sequence[Pinned], meant: int, branch: str, commit: str) -> None:
    for one in changed:
        click.echo(printable(f"{one.file}: {one.old} → {one.new}"))
        if "@" not in one.new:
            click.echo("  the tag alone: without a digest it may come to mean another image")
    if commit:
        click.echo(f"commit {commit[:12]} on {branch}")
    else:
        click.echo(f"nothing to change: {meant} manifests say it already")
