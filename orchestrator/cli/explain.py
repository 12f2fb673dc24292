"""`orchestrator explain`."""

import asyncio
import json
from pathlib import Path

import click

from orchestrator.cli.context import (
    config_file,
    config_option,
    environment_option,
    instance_option,
    json_option,
    manifest_paths,
    settings_of,
)
from orchestrator.cli.render import printable
from orchestrator.daemon.backends import docker_backends, resolver_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.loop_disks import obstacle
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.load import LoadedManifest, load_instance_config, load_manifests
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.explanation import Explanation, explain_full, lines, to_json
from orchestrator.policy.rating import ImageOrigin, Surroundings, rate


class NoSuchManifest(OrchestratorError):
    """No manifest under the paths is of that plugin."""

    kind, code = Kind.NOT_FOUND, "no_such_manifest"


@click.command()
@click.argument("plugin")
@click.argument("paths", nargs=-1, metavar="[PATHS]...")
@json_option
@instance_option
@config_option
@environment_option
def command(
    plugin: str,
    paths: tuple[str, ...],
    *,
    as_json: bool,
    instance: str | None,
    config: str | None,
    environment: str | None,
) -> None:
    """Say what a plugin may do, why, what holds each rule, and how safe that is, from 1 to 8.

    Before anything starts: PATHS are manifests, or folders of them [manifests/].
    """
    manifests = load_manifests(manifest_paths(paths), environment)
    explanation = asyncio.run(
        _explain(settings_of(instance), plugin, manifests, config_file(config))
    )
    if as_json:
        click.echo(json.dumps(to_json(explanation), indent=2))
    else:
        click.echo(printable("\n".join(lines(explanation))))


async def _explain(
    settings: DaemonSettings, plugin: str, loaded: list[LoadedManifest], config: Path | None
) -> Explanation:
    manifests = {item.manifest.metadata.name: item for item in loaded}
    if plugin not in manifests:
        raise NoSuchManifest(f"found {plugin!r}, expected one of {', '.join(sorted(manifests))}")
    policy = load_instance_config(config).policy if config is not None else SecurityPolicy()
    async with docker_backends(settings) as backends:
        resolver = resolver_of(settings, backends.images)
        [deployment] = await resolver.resolve([manifests[plugin]], policy)
        engine = await backends.probe.info()
    reference = manifests[plugin].manifest.spec.source.image or ""
    surroundings = Surroundings(
        image=_origin(reference),
        runtime=deployment.grant.runtime,
        disk_enforced_by="a disk of its own (loop ext4)" if obstacle() is None else "tmpfs",
        limits_enforced=engine.holds_limits,
    )
    grant = deployment.grant
    return explain_full(grant, rate(grant, policy, surroundings), surroundings)


def _origin(reference: str) -> ImageOrigin:
    if not reference:
        return ImageOrigin.BUILT_HERE
    return ImageOrigin.PINNED if "@sha256:" in reference else ImageOrigin.UNPINNED
