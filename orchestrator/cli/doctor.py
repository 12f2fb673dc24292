"""`orchestrator doctor`."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from orchestrator.cli.context import instance_option, json_option, settings_of
from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.cli.render import table
from orchestrator.daemon.backends import docker_backends, place_of
from orchestrator.daemon.orphans import ground_of
from orchestrator.daemon.secrets import reader_of_command
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.daemon.state import open_state_to_read
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.guard_image import guard_recipe, guard_tag
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.audit_check import audit_size
from orchestrator.manager.doctor import MachineFacts, diagnose
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.manager.liveness import Life, life_of
from orchestrator.manager.orphans import estates, orphan_finding
from orchestrator.manager.remembered import stored_deployments, stored_policy
from orchestrator.manager.secret_check import secrets_finding
from orchestrator.manager.state_check import state_elsewhere, state_file

SIGNS: Final[Mapping[Verdict, tuple[str, str]]] = MappingProxyType(
    {
        Verdict.OK: ("✔", "green"),
        Verdict.WARNING: ("▲", "yellow"),
        Verdict.PROBLEM: ("✖", "red"),
    }
)


@click.command()
@json_option
@instance_option
def command(*, as_json: bool, instance: str | None) -> int:
    """Check what this machine and its engine can hold; fails if a rule could not be held."""
    findings = asyncio.run(_examine(settings_of(instance)))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        click.echo(table(["CHECK", "FOUND", "ADVICE"], [_row(finding) for finding in findings]))
    bad = any(finding.verdict is Verdict.PROBLEM for finding in findings)
    return BY_KIND[Kind.UNAVAILABLE] if bad else OK


async def _examine(settings: DaemonSettings) -> list[Finding]:
    async with docker_backends(settings) as backends:
        engine = await backends.probe.info()
        tag = base_tag()
        held = await backends.images.find(tag)
        disk = await backends.disks.best(place_of(settings).labels)
        shares = await backends.shares.obstacle()
        guard = guard_tag(guard_recipe())
        guard_held = await backends.images.find(guard)
        ground = ground_of(settings, backends)
        found = await estates(ground)
    folder = _existing(settings.home)
    findings = diagnose(
        MachineFacts(
            engine=engine,
            home_free_bytes=shutil.disk_usage(folder).free,
            home_writable=os.access(folder, os.W_OK),
            disk=disk,
            share_obstacle=shares,
            base_image=tag if held is not None else "",
            guard_image=guard if guard_held is not None else "",
        )
    )
    lives = {maker: life_of(maker) if ground.local else Life.UNKNOWN for maker in found}
    return [
        *findings,
        _state(settings),
        audit_size(settings.audit_folder),
        _secrets(settings),
        orphan_finding(lives, found),
    ]


def _state(settings: DaemonSettings) -> Finding:
    if settings.store:
        return state_elsewhere(lambda: open_state_to_read(settings))
    return state_file(settings.database)


def _secrets(settings: DaemonSettings) -> Finding:
    """Of what is wanted now; a state that cannot be read is told by its own check."""
    with contextlib.suppress(OrchestratorError):
        store = open_state_to_read(settings)
        if store is not None:
            with contextlib.closing(store):
                policy, place = stored_policy(store), place_of(settings)
                wanted = stored_deployments(store, policy, place).values()
            return secrets_finding((one.inputs for one in wanted), reader_of_command(settings))
    return secrets_finding((), reader_of_command(settings))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _row(finding: Finding) -> list[str]:
    sign, colour = SIGNS[finding.verdict]
    return [click.style(f"{sign} {finding.check}", fg=colour), finding.found, finding.advice]
