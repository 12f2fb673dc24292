"""What a throw-away sandbox is: a plugin's container, decided and compiled as any other.

Handed-in code gets no way of its own around policy: its permissions and limits are weighed by
`decide` and its container is made by `compile_spec`, from a manifest that nobody wrote.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.info import PluginInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.manifest import (
    LimitsOverride,
    Metadata,
    PluginManifest,
    PluginSpec,
    Source,
)
from orchestrator.model.permissions import (
    FileSystemRead,
    FileSystemWrite,
    Permission,
    PermissionKind,
)
from orchestrator.model.policy import CodePolicy, SecurityPolicy
from orchestrator.policy.compile import Compiled, Site, compile_spec
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import Grant, PermissionRefused, Refusal

ROLE_CODE: Final = "code"
SUPPORTED: Final = frozenset(
    {
        PermissionKind.EXTERNAL_API,
        PermissionKind.FILE_SYSTEM_READ,
        PermissionKind.FILE_SYSTEM_WRITE,
        PermissionKind.PLUGIN_COMMUNICATION,
    }
)
"""What can be held for a container that lives for one call; the others speak of a deployment."""
_ESCAPED_BYTES: Final = 6
"""Of one byte of output in the runner's answer, at most."""


class CodePermissionUnsupported(OrchestratorError):
    """A permission that a throw-away sandbox cannot be held to."""

    kind, code = Kind.DENIED, "code_permission_unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPlan:
    """One throw-away container to be."""

    info: PluginInfo
    grant: Grant
    compiled: Compiled
    token: str
    """In every name that belongs to it alone."""
    folder: str
    """On the host; goes with it."""
    start_deadline_seconds: float
    max_answer_mb: int
    """Output and result at their bounds, each byte escaped as JSON's longest."""

    @property
    def party(self) -> str:
        """Its name before brokers and in the audit log: no two runs are the same party."""
        return f"{self.info.plugin_id}-{self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a run asks for beside its code."""

    language: str = "python"
    permissions: tuple[Permission, ...] = ()
    limits: LimitsOverride = field(default_factory=LimitsOverride)


def shares_of(permissions: Sequence[Permission]) -> tuple[str, ...]:
    """The names of all shares that are asked for."""
    return tuple(
        share
        for permission in permissions
        if isinstance(permission, FileSystemRead | FileSystemWrite)
        for share in permission.shares
    )


def limits_of(wish: Wish, info: PluginInfo, policy: SecurityPolicy) -> ResourceLimits:
    """What is asked, over the policy's numbers. Raises PermissionRefused above them."""
    code, ceilings = policy.code, policy.ceilings.model_dump()
    own = {
        "max_memory_mb": code.max_memory_mb,
        "max_cpu_percent": code.max_cpu_percent,
        "max_disk_mb": code.max_disk_mb,
        "max_network_mb": code.max_network_mb,
        "max_execution_time_sec": code.timeout_seconds,
        "max_concurrent_requests": 1,
    }
    most = ResourceLimits(**{name: min(own[name], ceilings[name]) for name in own})
    limits = wish.limits.over(most)
    refusals = tuple(
        Refusal(
            rule="limit_above_policy",
            field=f"limits.{name}",
            found=str(found),
            expected=f"at most {ceiling} (policy.code, policy.ceilings)",
        )
        for name, (found, ceiling) in limits.exceeding(most).items()
    )
    if refusals:
        raise PermissionRefused(info.plugin_id, refusals)
    return limits


def timeout_of(plan: BoxPlan, wished: float | None) -> float:
    """Raises PermissionRefused above the limit."""
    most = float(plan.grant.limits.max_execution_time_sec)
    if wished is None:
        return most
    if not 0 < wished <= most:
        refusal = Refusal(
            rule="limit_above_policy",
            field="timeout_seconds",
            found=f"{wished:g}",
            expected=f"more than 0 and at most {most:g} (policy.code.timeout_seconds)",
        )
        raise PermissionRefused(plan.info.plugin_id, (refusal,))
    return wished


def plan_box(
    wish: Wish,
    language: tuple[PluginInfo, str],
    *,
    policy: SecurityPolicy,
    site_for: Callable[[tuple[str, ...]], Site],
    token: str,
) -> BoxPlan:
    """The container for `wish`; equal wishes have equal digests, whatever their token.

    Raises CodePermissionUnsupported, PermissionRefused, PermissionNotHeld.
    """
    _check_supported(wish.permissions)
    info, image = language
    limits = limits_of(wish, info, policy)
    info = info.model_copy(update={"permissions": wish.permissions, "limits": limits})
    grant = decide(info, _manifest(wish, info, image), policy, config={})
    # Only now: shares that policy does not name have no folder to be looked at.
    site = site_for(shares_of(wish.permissions))
    folder = f"{site.sockets_root}/code-{token}"
    mine = replace(site, prefix=f"{site.prefix}-{token}", sockets_root=folder)
    return BoxPlan(
        info=info,
        grant=grant,
        compiled=compile_spec(grant, policy, mine, image=image),
        token=token,
        folder=folder,
        start_deadline_seconds=policy.lifecycle.start_deadline_seconds,
        max_answer_mb=_max_answer_mb(policy.code),
    )


def _max_answer_mb(code: CodePolicy) -> int:
    kilobytes = 2 * code.max_output_kb + code.max_result_kb
    return 1 + kilobytes * _ESCAPED_BYTES // 1_024


def _check_supported(permissions: Sequence[Permission]) -> None:
    beyond = sorted({permission.kind for permission in permissions} - SUPPORTED)
    if beyond:
        raise CodePermissionUnsupported(
            f"permissions: found {', '.join(beyond)}, expected at most "
            f"{', '.join(sorted(SUPPORTED))} for code that is handed in"
        )


def _manifest(wish: Wish, info: PluginInfo, image: str) -> PluginManifest:
    spec = PluginSpec(source=Source(image=image), permissions=wish.permissions, limits=wish.limits)
    return PluginManifest.model_validate(
        {
            "apiVersion": "orchestrator/v1",
            "kind": "Plugin",
            "metadata": Metadata(name=info.plugin_id),
            "spec": spec,
        }
    )
