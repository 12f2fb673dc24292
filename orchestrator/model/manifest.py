"""PluginManifest: what an operator wants deployed, one file each in `manifests/`."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from orchestrator.model.base import Model, Name, PluginId, Unexpected
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import Permission


class WantedState(StrEnum):
    """What the operator wants of a plugin."""

    RUNNING = "running"
    STOPPED = "stopped"


class Metadata(Model):
    name: PluginId
    """The plugin's id; `plugin.yaml` must say the same."""


class Source(Model):
    """Where the image comes from: exactly one of the two."""

    build: Annotated[str, Field(min_length=1)] | None = None
    """A folder, relative to the manifest's own."""
    image: Annotated[str, Field(min_length=1)] | None = None
    """A reference that the engine holds or can pull."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.build is None) == (self.image is None):
            found = "both build and image" if self.build else "neither build nor image"
            raise Unexpected(found=found, expected="exactly one of build and image")
        return self


class SecretSource(Model):
    """Where a secret's value lies; never the value itself."""

    file: Annotated[str, Field(min_length=1)]
    """A file, relative to the manifest's folder."""


class LimitsOverride(Model):
    """Limits the operator sets; what is left out is the plugin's own wish."""

    max_memory_mb: Annotated[int, Field(ge=8, le=1_048_576)] | None = None
    max_cpu_percent: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_disk_mb: Annotated[int, Field(ge=4, le=1_048_576)] | None = None
    max_network_mb: Annotated[int, Field(ge=0, le=1_048_576)] | None = None
    max_execution_time_sec: Annotated[int, Field(ge=1, le=86_400)] | None = None
    max_concurrent_requests: Annotated[int, Field(ge=1, le=256)] | None = None

    def over(self, wish: ResourceLimits) -> ResourceLimits:
        """`wish` with the fields that the operator set put over it."""
        return wish.model_copy(update=self.model_dump(exclude_none=True))


class PluginSpec(Model):
    source: Source
    permissions: tuple[Permission, ...] = ()
    """What is granted: at most what `plugin.yaml` asks."""
    limits: LimitsOverride = LimitsOverride()
    config: dict[str, JsonValue] = {}
    secrets: dict[Name, SecretSource] = {}
    state: Annotated[WantedState, Field(strict=False)] = WantedState.RUNNING


class PluginManifest(Model):
    api_version: Annotated[Literal["orchestrator/v1"], Field(alias="apiVersion")]
    kind: Literal["Plugin"]
    metadata: Metadata
    spec: PluginSpec

    @model_validator(mode="after")
    def _grants_only(self) -> Self:
        for index, permission in enumerate(self.spec.permissions):
            if permission.required or permission.reason:
                raise Unexpected(
                    found=f"'required' or 'reason' of {permission.kind}",
                    expected="them in plugin.yaml only",
                    field=("spec", "permissions", index),
                )
        kinds = [permission.kind for permission in self.spec.permissions]
        twins = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twins:
            raise Unexpected(
                found=f"{', '.join(twins)} more than once",
                expected="every permission once",
                field=("spec", "permissions"),
            )
        return self
