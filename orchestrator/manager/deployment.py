"""Deployment: one plugin as decided, ready to be made; and how it is remembered.

What is stored is the input of the decision, not its result: the result follows from it, and a
policy that changed is weighed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue, TypeAdapter

from orchestrator.engine.base import LABEL_INSTANCE, LABEL_OWNER
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.actions import Want
from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import PluginManifest, WantedState
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.versions import parse_dependency
from orchestrator.policy.compile import Compiled, Site, compile_spec, replica
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import Grant
from orchestrator.policy.overrides import Effective, Override, apply_overrides
from orchestrator.store.base import Record


class ReplicasExclusive(OrchestratorError):
    """Several containers of a plugin that has something which only one of them can have."""

    kind, code = Kind.INVALID, "replicas_exclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a deployment was decided from."""

    info: PluginInfo
    manifest: PluginManifest
    config: Mapping[str, JsonValue]
    image: str
    """A content-addressed tag for what is built here, a `sha256:` id for what is not."""
    build_folder: str
    """The plugin's folder; empty for an image from elsewhere."""
    origin: str
    """The manifest's file."""
    shares: Mapping[str, str]
    secret_files: Mapping[str, str]
    """Name → file, of those that have one; the content is read at each start, stored nowhere."""
    credential_files: Mapping[str, str] = field(default_factory=dict)
    """Host → file; the same, for the egress broker."""
    secret_digests: Mapping[str, str] = field(default_factory=dict)
    """`secrets.NAME` and `inject.HOST` → keyed digest of the value that this is made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Inputs, and what policy made of them."""

    inputs: Inputs
    grant: Grant
    compiled: Compiled
    site: Site
    effective: Effective
    """How the grant differs from the manifest by what was granted or revoked since."""

    @property
    def plugin_id(self) -> str:
        return self.inputs.info.plugin_id

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Ids of the plugins it needs."""
        return tuple(parse_dependency(text)[0] for text in self.inputs.info.dependencies)

    @property
    def running(self) -> bool:
        """Whether it is to run; not while what it cannot work without is revoked."""
        wanted = self.inputs.manifest.spec.state is WantedState.RUNNING
        return wanted and not self.effective.unmet

    @property
    def replicas(self) -> int:
        return self.inputs.manifest.spec.replicas

    def replica(self, index: int) -> "Deployment":
        """The deployment of its replica `index`; it is that of the first itself."""
        if index == 0:
            return self
        return replace(self, compiled=replica(self.compiled, self.grant, self.site, index))

    def member(self, sandbox_id: str) -> "Deployment | None":
        """The deployment of the replica with that sandbox id; None for another revision's."""
        first = self.compiled.sandbox_id
        if sandbox_id == first:
            return self
        index = sandbox_id.removeprefix(f"{first}-")
        return self.replica(int(index)) if index != sandbox_id and index.isdecimal() else None

    def want(self, *, image_ready: bool) -> Want:
        """The deployment as `plan` sees it."""
        return Want(
            plugin_id=self.plugin_id,
            digest=self.compiled.digest,
            sandbox_id=self.compiled.sandbox_id,
            cpu_percent=self.compiled.spec.cpu_percent,
            dependencies=self.dependencies,
            running=self.running,
            image_ready=image_ready,
            replicas=self.replicas,
            alone=self.compiled.alone,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where deployments are compiled for: the same for all of an instance."""

    instance: str
    owner: str
    """Short hash of the state folder: two folders may hold instances of one name."""
    sockets_root: str
    secrets_root: str
    """A folder in memory that holds one folder of secrets per sandbox."""
    seccomp_profile: str

    @property
    def prefix(self) -> str:
        """Begins the names of all that the instance makes."""
        return f"orchestrator-{self.instance}-{self.owner}"

    @property
    def labels(self) -> dict[str, str]:
        """What marks containers and volumes as this instance's."""
        return {LABEL_INSTANCE: self.instance, LABEL_OWNER: self.owner}


def weigh(
    inputs: Inputs, policy: SecurityPolicy, place: Place, overrides: Sequence[Override] = ()
) -> Deployment:
    """Decide and compile. Raises PermissionRefused, PermissionNotHeld, ReplicasExclusive."""
    effective = apply_overrides(inputs.info, inputs.manifest, policy, overrides)
    info = _undemanding(inputs.info) if effective.unmet else inputs.info
    grant = decide(info, effective.over(inputs.manifest), policy, config=inputs.config)
    site = Site(
        prefix=place.prefix,
        sockets_root=place.sockets_root,
        secrets_root=place.secrets_root,
        shares=inputs.shares,
        seccomp_profile=place.seccomp_profile,
    )
    compiled = compile_spec(
        grant, policy, site, image=inputs.image, secret_digests=inputs.secret_digests
    )
    replicas = inputs.manifest.spec.replicas
    if replicas > 1 and compiled.alone:
        raise ReplicasExclusive(
            f"{inputs.origin}: spec.replicas: found {replicas} for {inputs.info.plugin_id}, which "
            "is granted file_system_write (one /data) or network_access (one network), expected 1"
        )
    return Deployment(inputs=inputs, grant=grant, compiled=compiled, site=site, effective=effective)


def _undemanding(info: PluginInfo) -> PluginInfo:
    """It does not run, so what it cannot run without is no reason to refuse it."""
    permissions = tuple(p.model_copy(update={"required": False}) for p in info.permissions)
    return info.model_copy(update={"permissions": permissions})


_INPUTS = TypeAdapter(Inputs)


def to_record(inputs: Inputs) -> Record:
    """As stored; `from_record` is its inverse."""
    record: Record = _INPUTS.dump_python(inputs, mode="json", by_alias=True)
    return record


def from_record(record: Record) -> Inputs:
    """Raises pydantic's ValidationError for a record of another shape."""
    return _INPUTS.validate_python(dict(record), strict=False)
