"""PluginManifest: what an operator wants deployed, one file each in `manifests/`."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from orchestrator.model.base import Model, Name, PluginId, Unexpected
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import OneHost, Permission
from orchestrator.model.runtime import Runtime
from orchestrator.model.secret_source import SecretSource


class WantedState(StrEnum):
    """What the operator wants of a plugin."""

    RUNNING = "running"
    STOPPED = "stopped"


class Metadata(Model):
    name: PluginId
    """The plugin's id; `plugin.yaml` must say the same."""
    wave: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
    """From a git repository, lower waves are taken up first, each once the one before is well."""


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


HEADER_PATTERN = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"


_FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "te",  # codespell:ignore
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]  # codespell:ignore
)


def _no_framing(header: str) -> str:
    """A second word on where the message goes or ends would let requests be smuggled."""
    if header.lower() in _FRAMING:
        raise Unexpected(found=repr(header), expected="a header that carries a credential")
    return header


class InjectedCredential(SecretSource):
    """A header that the egress broker adds to the plugin's requests to one host, over TLS."""

    header: Annotated[str, Field(pattern=HEADER_PATTERN), AfterValidator(_no_framing)] = (
        "Authorization"
    )
    prefix: Annotated[str, Field(max_length=64)] = ""
    """Put before the value, such as `Bearer `; the plugin never sees either."""


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
    inject: dict[OneHost, InjectedCredential] = {}
    """Credentials by host: only for hosts that external_api grants."""
    runtime: Annotated[Runtime, Field(strict=False)] | None = None
    """None takes the policy's."""
    state: Annotated[WantedState, Field(strict=False)] = WantedState.RUNNING
    replicas: Annotated[int, Field(ge=1, le=32)] = 1
    """Containers of the plugin; a call goes to the one with the fewest calls."""
    idle_timeout: Annotated[float, Field(gt=0, le=31_536_000)] | None = None
    """Seconds without a call after which it is paused, and later stopped; None: never."""


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
