"""What is known of the plugins now, as the report takes it; and which newer versions there are.

A newer version is one that this machine knows of: what the plugin's folder says by now, an update
that waits for a grant, or a revision that was wanted and does not run. Nobody is asked over a
network.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.statuses import statuses
from orchestrator.model.load import load_plugin_info
from orchestrator.model.status import PluginStatus
from orchestrator.model.versions import older
from orchestrator.monitoring.plugin_metrics import Facts, Newer
from orchestrator.policy.decide import is_core_too_new, is_core_too_old
from orchestrator.version import CORE_VERSION


class KnownVersions:
    """Looks where versions may be."""

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager

    async def newer(self) -> dict[str, Newer]:
        """Plugin → the newest version that it does not run."""
        fleet = self._manager.fleet
        folders = {name: one.inputs.build_folder for name, one in fleet.deployments.items()}
        in_folders = await asyncio.to_thread(versions_in, folders)
        return {
            name: newest
            for name, deployment in fleet.deployments.items()
            if (
                newest := newest_of(
                    deployment.inputs.info.version,
                    [*in_folders.get(name, ()), *self._wanted(name, deployment)],
                )
            )
            is not None
        }

    def _wanted(self, name: str, deployment: Deployment) -> Iterable[Newer]:
        held = self._manager.fleet.held.get(name)
        if held is not None:
            yield Newer(version=held.version, where="an update that waits for a grant")
        for revision in self._manager.rollouts.of(name).revisions:
            if revision.digest != deployment.compiled.digest:
                where = f"revision {revision.number}, which is {revision.state}"
                yield Newer(version=revision.inputs.info.version, where=where)


def newest_of(deployed: str, known: Iterable[Newer]) -> Newer | None:
    """The newest that comes after what is deployed; of equals the first."""
    best: Newer | None = None
    for one in known:
        if older(best.version if best is not None else deployed, one.version):
            best = one
    return best


def facts_of(manager: PluginManager, newer: Mapping[str, Newer]) -> list[Facts]:
    """Of every plugin that is deployed."""
    rows = {row.plugin_id: row for row in statuses(manager.fleet)}
    return [
        _facts(manager.fleet, name, rows, newer.get(name))
        for name in sorted(manager.fleet.deployments)
    ]


def _facts(fleet: Fleet, name: str, rows: Mapping[str, PluginStatus], newer: Newer | None) -> Facts:
    deployment, row = fleet.deployments[name], rows[name]
    info = deployment.inputs.info
    return Facts(
        plugin_id=name,
        name=info.name,
        version=info.version,
        status=row.status,
        sub_state=row.sub_state,
        detail=row.detail,
        limits=deployment.grant.limits,
        permissions=deployment.grant.permissions,
        dependencies={
            other: str(rows[other].status) if other in rows else "absent"
            for other in deployment.dependencies
        },
        core_version=CORE_VERSION,
        min_core_version=info.min_core_version,
        max_core_version=info.max_core_version,
        version_compatible=not (is_core_too_old(info) or is_core_too_new(info)),
        newer=newer,
    )


def versions_in(folders: Mapping[str, str]) -> dict[str, list[Newer]]:
    """What each folder's plugin.yaml says by now; a folder that says nothing good is passed by."""
    found: dict[str, list[Newer]] = {}
    for name, folder in folders.items():
        if not folder:
            continue
        try:
            info = load_plugin_info(Path(folder))
        except (OrchestratorError, OSError):
            continue
        if info.plugin_id == name:
            found[name] = [Newer(version=info.version, where="its folder")]
    return found
