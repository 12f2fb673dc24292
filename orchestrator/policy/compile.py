"""compile_spec: from a Grant to the container that holds the plugin to it.

A pure fold: the baseline, then each permission widens it in its one place. Order does not matter,
and one more permission takes nothing away (tests/unit/policy/test_compile.py holds both as laws).
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.container import BindMount, ContainerSpec, ShareMount, Tmpfs, VolumeMount
from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    Permission,
    PluginCommunication,
    SystemInfo,
    UserInterface,
)
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.runtime import Runtime
from orchestrator.policy.baseline import (
    DATA_TARGET,
    MASKED_PATHS,
    READONLY_PATHS,
    SECRETS_TARGET,
    SHARES_TARGET,
    SOCKETS_TARGET,
    TMP_INODES_PER_MB,
)
from orchestrator.policy.grant import Grant, PermissionNotHeld
from orchestrator.policy.guard_containers import network_mode
from orchestrator.policy.host_view import with_host_view
from orchestrator.policy.seccomp import filter_for, with_network_sockets

_MEBIBYTE = 1 << 20
_PROXY = tuple(
    (name, "http://127.0.0.1:3128")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
)
"""Where the SDK's launcher listens inside the container, and forwards to egress.sock."""
_NETWORKED = (ExternalApi, NetworkAccess)
"""Those whose programs speak TCP: to a network, or to the forwarder on their own loopback."""
_PYTHON_ENTRY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class EntryPointUnusable(OrchestratorError):
    """The entry point is no Python class, and as a command it cannot be split into words."""

    kind, code = Kind.INVALID, "entry_point_unusable"

    def __init__(self, entry_point: str, why: str) -> None:
        super().__init__(
            f"plugin.yaml entry_point: found {entry_point!r} ({why}), "
            "expected module:Class, or a command in the shell's quoting"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a container is to be made: all that is not the plugin's own."""

    prefix: str
    """Begins the names of the instance's containers and volumes."""
    sockets_root: str
    """Host folder that holds one folder of sockets per sandbox."""
    secrets_root: str
    """The same for secrets, in memory."""
    shares: Mapping[str, str]
    """Share name → real path on the host, checked."""
    seccomp_profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One sandbox to be: its container, and the digest that tells it from any other revision."""

    shared: ContainerSpec
    """What all replicas have alike."""
    spec: ContainerSpec
    digest: str
    sandbox_id: str
    container_name: str
    sockets_folder: str
    secrets_folder: str
    start_cpu_percent: int

    @property
    def alone(self) -> bool:
        """Whether it can run beside no other container of its plugin: one /data, one network."""
        return bool(self.shared.volume_mounts) or self.shared.network_mode != "none"


def compile_spec(
    grant: Grant,
    policy: SecurityPolicy,
    site: Site,
    *,
    image: str,
    secret_digests: Mapping[str, str] = MappingProxyType({}),
) -> Compiled:
    """The container for `grant`. Raises PermissionNotHeld, EntryPointUnusable.

    `secret_digests` tell of the values of secrets, which are nowhere in here: another value makes
    another container.
    """
    not_held = tuple(name for p in grant.permissions for name in _not_held(p))
    if not_held:
        raise PermissionNotHeld(grant.info.plugin_id, not_held)
    spec = _baseline(grant, policy, site, image)
    for permission in grant.permissions:
        spec = _widen(spec, permission, grant, site)
    if any(isinstance(permission, _NETWORKED) for permission in grant.permissions):
        spec = replace(spec, seccomp_profile=with_network_sockets(spec.seccomp_profile))
    digest = _digest(spec, grant, policy, secret_digests)
    sandbox_id = f"{grant.info.plugin_id}-{digest[:12]}"
    return Compiled(
        shared=spec,
        spec=_placed(spec, grant, site, sandbox_id),
        digest=digest,
        sandbox_id=sandbox_id,
        container_name=f"{site.prefix}-{sandbox_id}",
        sockets_folder=f"{site.sockets_root}/{sandbox_id}",
        secrets_folder=f"{site.secrets_root}/{sandbox_id}",
        start_cpu_percent=_start_cpu_percent(grant, policy),
    )


def replica(compiled: Compiled, grant: Grant, site: Site, index: int) -> Compiled:
    """The sandbox of another replica: the same but for its name and its folders."""
    sandbox_id = replica_id(compiled.sandbox_id, index)
    return replace(
        compiled,
        spec=_placed(compiled.shared, grant, site, sandbox_id),
        sandbox_id=sandbox_id,
        container_name=f"{site.prefix}-{sandbox_id}",
        sockets_folder=f"{site.sockets_root}/{sandbox_id}",
        secrets_folder=f"{site.secrets_root}/{sandbox_id}",
    )


def replica_id(sandbox_id: str, index: int) -> str:
    """The sandbox id of a revision's replica `index`, from 0; that of the first is given."""
    return f"{sandbox_id}-{index}" if index else sandbox_id


def _placed(spec: ContainerSpec, grant: Grant, site: Site, sandbox_id: str) -> ContainerSpec:
    """`spec` with what only this sandbox has."""
    mounts = [BindMount(source=f"{site.sockets_root}/{sandbox_id}", target=SOCKETS_TARGET)]
    if grant.secrets:
        source = f"{site.secrets_root}/{sandbox_id}"
        mounts.append(BindMount(source=source, target=SECRETS_TARGET))
    return replace(
        spec,
        environment=(*spec.environment, ("ORCHESTRATOR_INSTANCE_ID", sandbox_id)),
        bind_mounts=(*spec.bind_mounts, *mounts),
    )


def _start_cpu_percent(grant: Grant, policy: SecurityPolicy) -> int:
    limit = grant.limits.max_cpu_percent
    if grant.runtime is Runtime.RUNSC:
        return limit  # gVisor's quota cannot be changed while it runs
    return max(policy.lifecycle.start_cpu_percent, limit)


def volume_name(prefix: str, plugin_id: str) -> str:
    """The plugin's /data: one per plugin, so that it survives restarts and updates."""
    return f"{prefix}-{plugin_id}-data"


def command(entry_point: str) -> tuple[str, ...]:
    """`module:Class` runs under the Python SDK; anything else is the command itself.

    Raises EntryPointUnusable.
    """
    if _PYTHON_ENTRY.fullmatch(entry_point):
        return ("python3", "-m", "orchestrator_sdk", entry_point)
    try:
        argv = tuple(shlex.split(entry_point))
    except ValueError as error:
        raise EntryPointUnusable(entry_point, str(error)) from error
    if not argv:
        raise EntryPointUnusable(entry_point, "no word in it")
    return argv


def initialize_context(grant: Grant) -> dict[str, object]:
    """What the plugin is told at initialize about its own sandbox."""
    kinds = {permission.kind for permission in grant.permissions}
    return {
        "data_dir": DATA_TARGET if "file_system_write" in kinds else None,
        "permissions": {
            permission.kind: permission.model_dump(
                mode="json", exclude={"kind", "required", "reason"}
            )
            for permission in grant.permissions
        },
        "limits": grant.limits.model_dump(),
    }


def _baseline(grant: Grant, policy: SecurityPolicy, site: Site, image: str) -> ContainerSpec:
    limits, container = grant.limits, policy.container
    return ContainerSpec(
        plugin_id=grant.info.plugin_id,
        image=image,
        command=command(grant.info.entry_point),
        environment=(
            ("ORCHESTRATOR_PLUGIN_ID", grant.info.plugin_id),
            ("ORCHESTRATOR_SOCKETS", SOCKETS_TARGET),
            ("ORCHESTRATOR_CONTRACT", "1"),
            ("ORCHESTRATOR_CONNECTIONS", str(limits.max_concurrent_requests)),
            *((("ORCHESTRATOR_EVENTS", "1"),) if grant.info.subscribes else ()),
        ),
        memory_bytes=limits.max_memory_mb * _MEBIBYTE,
        cpu_percent=limits.max_cpu_percent,
        pids_limit=container.pids_limit,
        open_files=container.open_files,
        log_bytes=container.log_mb * _MEBIBYTE,
        stop_grace_seconds=policy.lifecycle.stop_grace_seconds,
        tmpfs=(
            Tmpfs(
                target="/tmp",  # noqa: S108 - the container's own
                size_bytes=container.tmp_mb * _MEBIBYTE,
                inodes=container.tmp_mb * TMP_INODES_PER_MB,
            ),
        ),
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
        seccomp_profile=filter_for(grant.runtime, site.seccomp_profile),
        runtime=grant.runtime,
    )


def _widen(spec: ContainerSpec, permission: Permission, grant: Grant, site: Site) -> ContainerSpec:
    match permission:
        case FileSystemRead(shares=shares):
            return _with_shares(spec, shares, site, read_only=True)
        case FileSystemWrite(shares=shares):
            data = VolumeMount(
                volume=volume_name(site.prefix, spec.plugin_id),
                target=DATA_TARGET,
                size_bytes=grant.limits.max_disk_mb * _MEBIBYTE,
            )
            spec = replace(spec, volume_mounts=(*spec.volume_mounts, data))
            return _with_shares(spec, shares, site, read_only=False)
        case PluginCommunication() | DatabaseAccess() | UserInterface():
            return spec  # more sockets in the folder that is mounted anyway; pages need none
        case ExternalApi():
            return replace(spec, environment=(*spec.environment, *_PROXY))
        case SystemInfo():
            return with_host_view(spec)
        case NetworkAccess():
            # No capability: ping needs none, and what the parameters open are rules of the guard.
            return replace(spec, network_mode=network_mode(site.prefix, spec.plugin_id))


def _with_shares(
    spec: ContainerSpec, shares: tuple[str, ...], site: Site, *, read_only: bool
) -> ContainerSpec:
    """The shares mounted; one that is granted both ways is writable, and mounted once."""
    mounts = {mount.target: mount for mount in spec.share_mounts}
    for name in shares:
        target = f"{SHARES_TARGET}/{name}"
        keep_writable = target in mounts and not mounts[target].read_only
        mounts[target] = ShareMount(
            source=site.shares[name],
            target=target,
            read_only=read_only and not keep_writable,
        )
    return replace(spec, share_mounts=tuple(mounts[target] for target in sorted(mounts)))


def _not_held(permission: Permission) -> tuple[str, ...]:
    # To a process that is not root a capability comes through a file that carries it. That needs
    # no-new-privileges off, and then every setuid file of the plugin's own image counts as well.
    if isinstance(permission, FileSystemRead) and permission.any_owner:
        return ("file_system_read.any_owner",)
    return ()


def _unordered(grant: Grant) -> dict[str, object]:
    """Permissions by kind, their lists in order: nobody grants less by naming it first."""
    return {
        permission.kind: {
            name: sorted(value, key=str) if isinstance(value, list) else value
            for name, value in permission.model_dump(
                mode="json", exclude={"kind", "required", "reason"}
            ).items()
        }
        for permission in grant.permissions
    }


def _digest(
    spec: ContainerSpec, grant: Grant, policy: SecurityPolicy, secret_digests: Mapping[str, str]
) -> str:
    """sha256 over all that a running plugin was made from, initialize included.

    Its databases too: one that moved is found by a plugin that is started anew.
    """
    databases = {
        name: policy.databases[name].model_dump(mode="json")
        for permission in grant.permissions
        if isinstance(permission, DatabaseAccess)
        for name in permission.databases
        if name in policy.databases
    }
    made_from: dict[str, object] = {
        "container": asdict(spec),
        "version": grant.info.version,
        "config": dict(grant.config),
        "context": {**initialize_context(grant), "permissions": _unordered(grant)},
        "secrets": sorted(grant.secrets),
        "injected": [asdict(it) for it in sorted(grant.injected, key=lambda it: it.host)],
        "databases": databases,
    }
    if secret_digests:
        made_from["secret_digests"] = dict(secret_digests)
    text = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
