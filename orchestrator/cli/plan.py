"""`orchestrator plan`."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click
from pydantic import JsonValue

from orchestrator.cli.chosen_git import git_options
from orchestrator.cli.context import (
    config_file,
    config_option,
    environment_option,
    instance_option,
    json_option,
    manifest_paths,
    settings_of,
)
from orchestrator.cli.exits import CHANGES, OK
from orchestrator.cli.manifest_words import widened_by_patch
from orchestrator.cli.permissions import drift_rows, held_lines
from orchestrator.cli.plan_git import DEFAULT_BASE, plan_git
from orchestrator.cli.render import one_line
from orchestrator.daemon.backends import docker_backends, place_of, resolver_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state_to_read
from orchestrator.engine.base import ImageStore
from orchestrator.manager.admission import check_host
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.desired import merge
from orchestrator.manager.held import HeldUpdate, held_back
from orchestrator.manager.overridden import drift, stored_overrides
from orchestrator.manager.preview import Change, ChangeKind, described, preview
from orchestrator.manager.remembered import stored_deployments
from orchestrator.manager.resolve import check_dependencies
from orchestrator.manager.revision_records import stored_rollouts
from orchestrator.manager.revisions import Rollout
from orchestrator.manager.rollout_words import quarantined, strategy
from orchestrator.manager.secret_use import with_known
from orchestrator.model.load import LoadedManifest, load_instance_config, load_manifests
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.explain import explain
from orchestrator.policy.overrides import Override

SIGNS: Final[Mapping[ChangeKind, tuple[str, str, str]]] = MappingProxyType(
    {
        ChangeKind.NONE: (" ", "white", "is as it should be"),
        ChangeKind.CREATE: ("+", "green", "will be created"),
        ChangeKind.REPLACE: ("~", "yellow", "will be replaced"),
        ChangeKind.STOP: ("-", "red", "will be stopped"),
        ChangeKind.REMOVE: ("-", "red", "will be removed"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What `up` would do, with what it would leave wanted."""

    changes: Sequence[Change]
    wanted: Mapping[str, Deployment]
    held: Mapping[str, HeldUpdate]
    """Updates that would wait for a grant: what runs is left as it is."""
    quarantined: Mapping[str, str]
    """Updates that failed and would not be tried again, and why."""
    strategies: Mapping[str, str]
    """How each changed plugin would take over from what runs."""
    to_build: frozenset[str]
    """Plugins whose images are not there yet."""
    patches: Mapping[str, tuple[str, ...]]
    """Plugin → what the environment's patch gives it beyond its base, in words."""


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...")
@click.option("--git", "url", metavar="URL", help="What a branch changes, as Markdown.")
@click.option("--ref", metavar="REF", help="With --git: the branch, tag or commit.")
@click.option("--path", metavar="FOLDER", help="With --git: of the manifests [manifests].")
@click.option("--base", metavar="REF", help="With --git: what it is compared with [main].")
@click.option("--no-widening", is_flag=True, help="With --git: exit code 77 if a plugin may more.")
@json_option
@instance_option
@config_option
@environment_option
def command(
    paths: tuple[str, ...],
    *,
    url: str | None,
    ref: str | None,
    path: str | None,
    base: str | None,
    no_widening: bool,
    as_json: bool,
    instance: str | None,
    config: str | None,
    environment: str | None,
) -> int:
    """Show what `up` would do, without doing it; exit code 2 when something would change.

    With --git and --ref: what that branch changes against --base, as Markdown for a pull request.
    That needs neither a daemon nor an engine.
    """
    over = git_options(url, ref, path)
    if over or base is not None or no_widening:
        if paths or not {"url", "ref"} <= over.keys():
            raise click.UsageError("expected --git and --ref together, and no PATHS beside them")
        return plan_git(
            over | ({"environment": environment} if environment is not None else {}),
            base=base or DEFAULT_BASE,
            config=config_file(config),
            as_json=as_json,
            no_widening=no_widening,
        )
    settings = settings_of(instance)
    manifests = load_manifests(manifest_paths(paths), environment)
    result = asyncio.run(_preview(settings, manifests, manifest_paths(paths), config_file(config)))
    if as_json:
        click.echo(json.dumps([_json(result, change) for change in result.changes], indent=2))
    else:
        for change in result.changes:
            _show(result, change)
    waiting = bool(result.held or result.quarantined)
    changed = waiting or any(c.kind is not ChangeKind.NONE for c in result.changes)
    if not as_json:
        _sum_up(result.changes)
        for name, held in result.held.items():
            click.echo("\n" + "\n".join(held_lines(name, _held_json(held))))
        for name, text in result.quarantined.items():
            click.echo(f"\n{name}: {text}; `orchestrator rollout resume {name}` tries it again")
    return CHANGES if changed else OK


async def _preview(
    settings: DaemonSettings,
    manifests: Sequence[LoadedManifest],
    paths: list[Path],
    config: Path | None,
) -> Preview:
    policy = load_instance_config(config).policy if config is not None else SecurityPolicy()
    async with docker_backends(settings) as backends:
        resolver = resolver_of(settings, backends.images)
        resolved = await resolver.resolve(manifests, policy)
        old, overrides, rollouts = _stored(settings, policy)
        inputs, held = held_back(old, resolved)
        known = {name: one.inputs for name, one in old.items()}
        inputs = [with_known(one, known.get(one.info.plugin_id)) for one in inputs]
        new = [resolver.settle(one, policy, overrides) for one in inputs]
        wanted = merge(old, new, paths)
        check_dependencies(wanted.values())
        check_host(wanted, policy, await backends.probe.info(), first=old)
        containers = await backends.engine.list(place_of(settings).labels)
        away = quarantined(rollouts, wanted)
        return Preview(
            changes=[
                Change(plugin_id=change.plugin_id, kind=ChangeKind.NONE)
                if change.plugin_id in away
                else change
                for change in preview(old, wanted, containers)
            ],
            wanted=wanted,
            held=held,
            quarantined=away,
            strategies={name: strategy(one, policy.rollout) for name, one in wanted.items()},
            to_build=await _missing_images(wanted, backends.images),
            patches=widened_by_patch(manifests),
        )


def _stored(
    settings: DaemonSettings, policy: SecurityPolicy
) -> tuple[dict[str, Deployment], tuple[Override, ...], dict[str, Rollout]]:
    """What is wanted now, what was granted and revoked by command, and what became of it all."""
    store = open_state_to_read(settings)
    if store is None:
        return {}, (), {}
    try:
        deployments = stored_deployments(store, policy, place_of(settings))
        return deployments, stored_overrides(store), stored_rollouts(store)
    finally:
        store.close()


async def _missing_images(wanted: Mapping[str, Deployment], images: ImageStore) -> frozenset[str]:
    return frozenset(
        [name for name, d in wanted.items() if await images.find(d.inputs.image) is None]
    )


def _json(result: Preview, change: Change) -> dict[str, JsonValue]:
    deployment = result.wanted.get(change.plugin_id)
    return {
        "plugin_id": change.plugin_id,
        "change": change.kind,
        "fields": [asdict(field) for field in change.fields],
        "strategy": result.strategies.get(change.plugin_id, "")
        if change.kind is ChangeKind.REPLACE
        else "",
        "quarantined": result.quarantined.get(change.plugin_id, ""),
        "patch": list(result.patches.get(change.plugin_id, ())),
        "build_image": change.plugin_id in result.to_build,
        "may": list(explain(deployment.grant)) if deployment else [],
        "drift": [asdict(found) for found in drift(deployment)] if deployment else [],
        "held": _held_json(result.held[change.plugin_id])
        if change.plugin_id in result.held
        else None,
        "deployment": described(deployment) if deployment else None,
    }


def _held_json(held: HeldUpdate) -> dict[str, JsonValue]:
    return {
        "update": held.update,
        "version": held.version,
        "differences": list(held.differences),
    }


def _show(result: Preview, change: Change) -> None:
    sign, colour, words = SIGNS[change.kind]
    deployment = result.wanted.get(change.plugin_id)
    version = f" {deployment.inputs.info.version}" if deployment else ""
    head = click.style(f"{sign} {change.plugin_id}{version}", fg=colour, bold=True)
    click.echo(f"{head} {words}")
    if deployment is None:
        return
    for text in result.patches.get(change.plugin_id, ()):
        click.echo(f"    environment: {one_line(text, 200)}")
    for _, text in drift_rows([asdict(found) for found in drift(deployment)]):
        click.echo(f"    drift: {text}")
    if change.kind is ChangeKind.NONE:
        return
    if change.kind is ChangeKind.CREATE:
        for line in explain(deployment.grant):
            click.echo(f"    {one_line(line, 200)}")
        limits = deployment.grant.limits
        click.echo(
            f"    at most {limits.max_memory_mb} MiB memory, {limits.max_cpu_percent} % of a core, "
            f"{limits.max_concurrent_requests} calls at a time of {limits.max_execution_time_sec} s"
        )
    _show_work(result, change, deployment)


def _show_work(result: Preview, change: Change, deployment: Deployment) -> None:
    """How it would come about, and by which fields it differs."""
    if change.kind is ChangeKind.REPLACE:
        click.echo(f"    {result.strategies[change.plugin_id]}")
    if change.plugin_id in result.to_build:
        click.echo(f"    image {deployment.inputs.image} will be built")
    for field in change.fields:
        click.echo(f"    {field.field}: {_value(field.old)} → {_value(field.new)}")


def _value(value: JsonValue) -> str:
    return one_line(json.dumps(value), 60)


def _sum_up(changes: Sequence[Change]) -> None:
    counts = {kind: sum(1 for change in changes if change.kind is kind) for kind in ChangeKind}
    if not changes:
        click.echo("no plugins")
    elif counts[ChangeKind.NONE] == len(changes):
        click.echo(f"\nnothing to do: {len(changes)} plugins are as they should be")
    else:
        words = {
            ChangeKind.CREATE: "to create",
            ChangeKind.REPLACE: "to replace",
            ChangeKind.STOP: "to stop",
            ChangeKind.REMOVE: "to remove",
            ChangeKind.NONE: "unchanged",
        }
        parts = [f"{counts[kind]} {text}" for kind, text in words.items() if counts[kind]]
        click.echo("\n" + ", ".join(parts))
