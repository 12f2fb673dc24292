"""Difference: field by field, what git says of each plugin, what is wanted, and what runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from orchestrator.errors import OrchestratorError
from orchestrator.gitops.prepared import Prepared
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.drift_watch import container_drift
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.preview import comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """One field in which the three are not one; None where a side has no such field."""

    field: str
    git: JsonValue
    desired: JsonValue
    live: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDifference:
    plugin_id: str
    fields: tuple[FieldRow, ...]
    words: str = ""
    """What is to be said of the plugin as a whole."""


def difference(
    prepared: Prepared, manager: PluginManager, names: frozenset[str]
) -> list[PluginDifference]:
    """Of the commit's plugins and of `names`, which git made once; only those that differ."""
    fleet = manager.fleet
    found: list[PluginDifference] = []
    bad = {trouble.plugin_id: trouble.words for trouble in prepared.troubles if trouble.plugin_id}
    for name in sorted({*prepared.files, *names}):
        effective = fleet.deployments.get(name)
        asked, words = _asked(manager, effective)
        git = prepared.deployments.get(name)
        live = _live(manager, name, effective)
        if name not in prepared.files:
            words = "git does not have it"
        rows = tuple(
            row
            for row in compare(_fields(git), _fields(asked), live)
            if git is not None or row.desired != row.live
        )
        words = bad.get(name, words)
        if rows or words:
            found.append(PluginDifference(plugin_id=name, fields=rows, words=words))
    return found


def compare(
    git: Mapping[str, JsonValue], desired: Mapping[str, JsonValue], live: Mapping[str, JsonValue]
) -> Iterator[FieldRow]:
    """The fields in which the three are not one. Pure."""
    for field in sorted(git.keys() | desired.keys() | live.keys()):
        row = FieldRow(
            field=field, git=git.get(field), desired=desired.get(field), live=live.get(field)
        )
        if not row.git == row.desired == row.live:
            yield row


def flat(value: JsonValue, path: str = "") -> dict[str, JsonValue]:
    """Leaves by dotted path. Pure."""
    if not isinstance(value, dict):
        return {path: value}
    leaves: dict[str, JsonValue] = {}
    for key, item in value.items():
        leaves |= flat(item, f"{path}.{key}" if path else key)
    return leaves


def _fields(deployment: Deployment | None) -> dict[str, JsonValue]:
    if deployment is None:
        return {}
    spec = deployment.inputs.manifest.spec
    said: dict[str, JsonValue] = {"state": spec.state, "replicas": spec.replicas}
    return {**flat(comparable(deployment)), **said}


def _asked(manager: PluginManager, effective: Deployment | None) -> tuple[Deployment | None, str]:
    """What is wanted, which is not what runs when it failed."""
    if effective is None:
        return None, ""
    try:
        return manager.rollouts.weigh(manager.rollouts.asked(effective)), ""
    except OrchestratorError as error:
        return None, str(error)


def _live(manager: PluginManager, name: str, effective: Deployment | None) -> dict[str, JsonValue]:
    """What runs: with what somebody changed on the container itself laid over."""
    fleet = manager.fleet
    status = manager.rollouts.status(name)
    if effective is None or not any(s for s in fleet.seen().get(name, ())):
        return {}
    runs = effective
    earlier = [*fleet.earlier.get(name, {}).values()]
    if status is not None and status.serving not in {0, status.revision} and earlier:
        runs = earlier[0]
    fields = _fields(runs)
    for drift in container_drift(fleet, name):
        if isinstance(drift, dict):
            fields[f"container.{drift['field']}"] = drift["found"]
    return fields
