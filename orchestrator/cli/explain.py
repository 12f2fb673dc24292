"""`orchestrator explain`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.context import (
    config_file,
    config_option,
    environment_option,
    instance_option,
    json_option,
    manifest_paths,
    settings_of,
    tell_version,
)
from orchestrator.cli.render import printable
from orchestrator.client.client import DaemonClient, DaemonNotRunning
from orchestrator.client.problem import DaemonProblem
from orchestrator.daemon.backends import docker_backends, place_of, resolver_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.explaining import Explainer
from orchestrator.model.load import LoadedManifest, load_instance_config, load_manifests
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.explanation import Explanation, lines, to_json


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

    As it is deployed now, with what was granted and revoked since; or, where it is not, or with
    PATHS, --config or --environment, as manifests have it, before anything starts. PATHS are
    manifests, or folders of them [manifests/].
    """
    settings = settings_of(instance)
    found = None
    if not (paths or config or environment):
        client = DaemonClient(settings.socket, on_other_version=tell_version)
        found = _deployed(client, plugin)
    if found is None:
        manifests = load_manifests(manifest_paths(paths), environment)
        explanation = asyncio.run(_explain(settings, plugin, manifests, config_file(config)))
        found = {"explanation": to_json(explanation), "lines": [*lines(explanation)]}
    if as_json:
        click.echo(json.dumps(found["explanation"], indent=2))
    else:
        click.echo(printable("\n".join(found["lines"])))


def _deployed(client: DaemonClient, plugin: str) -> dict[str, Any] | None:
    """As the daemon has it; None where it has no such plugin, or there is no daemon."""
    try:
        return client.explanation(plugin)
    except DaemonNotRunning:
        return None
    except DaemonProblem as error:
        if error.remote_kind is Kind.NOT_FOUND:
            return None
        raise


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
        explainer = Explainer(
            probe=backends.probe, disks=backends.disks, labels=place_of(settings).labels
        )
        return await explainer.explain(deployment, policy)
