"""What `up` would do, plugin by plugin and field by field. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_ROLE
from orchestrator.manager.deployment import Deployment
from orchestrator.model.container import ContainerState

_SHOWN_CHARACTERS: Final = 8
"""Of a keyed digest: enough to see that a value is another."""


class ChangeKind(StrEnum):
    NONE = "none"
    CREATE = "create"
    REPLACE = "replace"
    STOP = "stop"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field that differs; None where a side has no such field."""

    field: str
    old: JsonValue
    new: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    plugin_id: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()


def preview(
    old: Mapping[str, Deployment],
    new: Mapping[str, Deployment],
    containers: Sequence[ContainerState],
) -> list[Change]:
    """The change of every plugin that is wanted, was wanted or is there, by name."""
    there: dict[str, list[ContainerState]] = {}
    for container in containers:
        if container.label(LABEL_ROLE):
            continue  # no plugin's
        there.setdefault(container.label(LABEL_PLUGIN), []).append(container)
    names = sorted(old.keys() | new.keys() | there.keys())
    return [_change(name, old.get(name), new.get(name), there.get(name, [])) for name in names]


def _change(
    name: str, old: Deployment | None, new: Deployment | None, there: list[ContainerState]
) -> Change:
    if new is None:
        return Change(plugin_id=name, kind=ChangeKind.REMOVE if there or old else ChangeKind.NONE)
    if not new.running:
        return Change(plugin_id=name, kind=ChangeKind.STOP if there else ChangeKind.NONE)
    if any(c.label(LABEL_DIGEST) == new.compiled.digest for c in there):
        return Change(plugin_id=name, kind=ChangeKind.NONE)
    before = comparable(old) if old is not None else {}
    fields = differences(before, comparable(new))
    kind = ChangeKind.REPLACE if there else ChangeKind.CREATE
    return Change(plugin_id=name, kind=kind, fields=fields if there and old else ())


def described(deployment: Deployment) -> dict[str, JsonValue]:
    """A deployment as JSON: what it is made from, with the container in full."""
    text: dict[str, JsonValue] = {
        "version": deployment.inputs.info.version,
        "config": dict(deployment.grant.config),
        "limits": deployment.grant.limits.model_dump(mode="json"),
        "permissions": [p.model_dump(mode="json") for p in deployment.grant.permissions],
        "secrets": {
            name: digest[:_SHOWN_CHARACTERS]
            for name, digest in sorted(deployment.inputs.secret_digests.items())
        },
        "container": container_json(deployment),
    }
    return text


def comparable(deployment: Deployment) -> JsonValue:
    """Without what only follows from all the rest: its own name, in folders and environment."""
    return _without(described(deployment), deployment.compiled.sandbox_id)


def _without(value: JsonValue, name: str) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, name) for item in value]
    return value.replace(name, "SANDBOX") if isinstance(value, str) else value


def container_json(deployment: Deployment) -> dict[str, JsonValue]:
    """The ContainerSpec as JSON; `docker inspect` of the running plugin says the same."""
    return {name: _plain(value) for name, value in asdict(deployment.compiled.spec).items()}


def _plain(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else None


def differences(old: JsonValue, new: JsonValue) -> tuple[FieldChange, ...]:
    """The fields in which two mappings are not one, by name."""
    return _difference("", old, new)


def _difference(path: str, old: JsonValue, new: JsonValue) -> tuple[FieldChange, ...]:
    if isinstance(old, dict) and isinstance(new, dict):
        return tuple(
            change
            for key in sorted(old.keys() | new.keys())
            for change in _difference(f"{path}.{key}" if path else key, old.get(key), new.get(key))
        )
    return () if old == new else (FieldChange(field=path, old=old, new=new),)
