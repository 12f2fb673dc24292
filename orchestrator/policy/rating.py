"""rate: how safe a plugin is before anything starts, from 8 (it computes) down to 1. Pure.

RULES is the whole table. Each rule that applies takes its points from 8 and gives its reason; the
sum is never below 1. Rules only ever ask whether something is there, so that one permission,
parameter or megabyte more never raises a rating (tests/unit/policy/test_rating.py holds that as a
law). gVisor alone gives a point back: it stands between the plugin and the kernel.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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
from orchestrator.policy.grant import Grant

BEST: Final = 8
WORST: Final = 1
_WIDE_PREFIX = {4: 16, 6: 48}
"""A network with fewer fixed bits than this is as good as everything."""
_MUCH_MEMORY_MB = 1_024
_ONE_CORE_PERCENT = 100
_LONG_CALL_SECONDS = 300
_MANY_PROCESSES = 1_024


class ImageOrigin(StrEnum):
    """Where the image's content comes from, and whether it can change behind our back."""

    BUILT_HERE = "built_here"
    PINNED = "pinned"
    """From elsewhere, by digest."""
    UNPINNED = "unpinned"
    """From elsewhere, by a tag that whoever owns it can move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the rating depends on beside the grant: no defaults, as each must be looked up."""

    image: ImageOrigin
    runtime: Runtime
    disk_enforced_by: str
    """What holds the size of /data, in words; empty if nothing does."""
    limits_enforced: bool
    """Whether the engine holds memory, CPU and processes (a rootless one may not)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a rule looks at."""

    grant: Grant
    policy: SecurityPolicy
    surroundings: Surroundings

    def has(self, kind: type[Permission]) -> bool:
        return any(isinstance(permission, kind) for permission in self.grant.permissions)

    def any_of(self, test: Callable[[Permission], bool]) -> bool:
        return any(test(permission) for permission in self.grant.permissions)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRule:
    """One row of the table."""

    name: str
    """Stable; docs/permissions.md lists them."""
    points: int
    """Taken from 8; below zero: given back."""
    reason: str
    applies: Callable[[Case], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingReason:
    rule: str
    points: int
    text: str

    def __str__(self) -> str:
        return f"{-self.points:+d}  {self.text} [{self.rule}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """The score, and every rule that applied, in the table's order."""

    score: int
    reasons: tuple[RatingReason, ...]


def rate(grant: Grant, policy: SecurityPolicy, surroundings: Surroundings) -> Rating:
    """The rating of what is about to start."""
    case = Case(grant=grant, policy=policy, surroundings=surroundings)
    reasons = tuple(
        RatingReason(rule=rule.name, points=rule.points, text=rule.reason)
        for rule in RULES
        if rule.applies(case)
    )
    score = BEST - sum(reason.points for reason in reasons)
    return Rating(score=min(BEST, max(WORST, score)), reasons=reasons)


def _reads_what_is_the_operators(case: Case) -> bool:
    return bool(case.grant.secrets) or case.any_of(
        lambda p: (
            isinstance(p, DatabaseAccess | SystemInfo)
            or (isinstance(p, FileSystemRead | FileSystemWrite) and bool(p.shares))
        )
    )


def _has_a_way_out(case: Case) -> bool:
    return case.any_of(
        lambda p: isinstance(p, NetworkAccess | ExternalApi | PluginCommunication | UserInterface)
    )


def _reaches_everything(permission: Permission) -> bool:
    return isinstance(permission, NetworkAccess) and (
        not permission.allow or any(map(_wide, permission.allow))
    )


def _wide(address: str) -> bool:
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return False
    return network.prefixlen < _WIDE_PREFIX[network.version]


def _has_raised_limits(case: Case) -> bool:
    limits = case.grant.limits
    return (
        limits.max_memory_mb > _MUCH_MEMORY_MB
        or limits.max_cpu_percent > _ONE_CORE_PERCENT
        or limits.max_execution_time_sec > _LONG_CALL_SECONDS
        or case.policy.container.pids_limit > _MANY_PROCESSES
    )


RULES: tuple[RatingRule, ...] = (
    RatingRule(
        name="own_volume",
        points=1,
        reason="keeps data between starts, on a volume of its own",
        applies=lambda case: case.has(FileSystemWrite),
    ),
    RatingRule(
        name="reads_shares",
        points=1,
        reason="reads folders of the operator",
        applies=lambda case: case.any_of(
            lambda p: isinstance(p, FileSystemRead | FileSystemWrite) and bool(p.shares)
        ),
    ),
    RatingRule(
        name="reads_any_owner",
        points=2,
        reason="reads files in them whatever their owner and mode (DAC_READ_SEARCH)",
        applies=lambda case: case.any_of(lambda p: isinstance(p, FileSystemRead) and p.any_owner),
    ),
    RatingRule(
        name="writes_shares",
        points=2,
        reason="changes folders of the operator",
        applies=lambda case: case.any_of(
            lambda p: isinstance(p, FileSystemWrite) and bool(p.shares)
        ),
    ),
    RatingRule(
        name="network",
        points=2,
        reason="opens network connections of its own, whose content nobody sees",
        applies=lambda case: case.has(NetworkAccess),
    ),
    RatingRule(
        name="network_to_everything",
        points=2,
        reason="reaches every public address, or a network as wide",
        applies=lambda case: case.any_of(_reaches_everything),
    ),
    RatingRule(
        name="any_port",
        points=1,
        reason="connects to any port",
        applies=lambda case: case.any_of(lambda p: isinstance(p, NetworkAccess) and not p.ports),
    ),
    RatingRule(
        name="raw_sockets",
        points=2,
        reason="sends ICMP (ping), which also carries data",
        applies=lambda case: case.any_of(lambda p: isinstance(p, NetworkAccess) and p.raw),
    ),
    RatingRule(
        name="low_ports",
        points=1,
        reason="sends from ports below 1024, which old services take for root's",
        applies=lambda case: case.any_of(lambda p: isinstance(p, NetworkAccess) and p.low_ports),
    ),
    RatingRule(
        name="external_api",
        points=1,
        reason="sends requests to hosts outside, through the egress broker",
        applies=lambda case: case.has(ExternalApi),
    ),
    RatingRule(
        name="wildcard_hosts",
        points=1,
        reason="chooses the host itself, below a wildcard",
        applies=lambda case: case.any_of(
            lambda p: isinstance(p, ExternalApi) and any(host.startswith("*.") for host in p.hosts)
        ),
    ),
    RatingRule(
        name="database",
        points=2,
        reason="talks to databases, with all rights of the account it is given",
        applies=lambda case: case.has(DatabaseAccess),
    ),
    RatingRule(
        name="system_info",
        points=2,
        reason="sees the host's load, memory, processors, disk and network counters",
        applies=lambda case: case.has(SystemInfo),
    ),
    RatingRule(
        name="plugin_communication",
        points=1,
        reason="calls other plugins, which may do what it may not",
        applies=lambda case: case.has(PluginCommunication),
    ),
    RatingRule(
        name="user_interface",
        points=1,
        reason="shows pages in a person's browser",
        applies=lambda case: case.has(UserInterface),
    ),
    RatingRule(
        name="secrets",
        points=1,
        reason="is given secrets",
        applies=lambda case: bool(case.grant.secrets),
    ),
    RatingRule(
        name="credentials",
        points=1,
        reason="acts at other services with the operator's credentials",
        applies=lambda case: bool(case.grant.injected),
    ),
    RatingRule(
        name="could_leak",
        points=1,
        reason="both reads what is the operator's and has a way out with it",
        applies=lambda case: _reads_what_is_the_operators(case) and _has_a_way_out(case),
    ),
    RatingRule(
        name="raised_limits",
        points=1,
        reason=(
            f"may use more than {_MUCH_MEMORY_MB} MiB, one core, {_LONG_CALL_SECONDS} s for a call "
            f"or {_MANY_PROCESSES} processes"
        ),
        applies=_has_raised_limits,
    ),
    RatingRule(
        name="disk_not_held",
        points=2,
        reason="can fill the host's disk: nothing holds the size of its volume",
        applies=lambda case: case.has(FileSystemWrite) and not case.surroundings.disk_enforced_by,
    ),
    RatingRule(
        name="limits_not_held",
        points=3,
        reason="can exhaust the host: this engine does not hold memory, CPU and processes",
        applies=lambda case: not case.surroundings.limits_enforced,
    ),
    RatingRule(
        name="image_from_elsewhere",
        points=1,
        reason="its image was made elsewhere",
        applies=lambda case: case.surroundings.image is not ImageOrigin.BUILT_HERE,
    ),
    RatingRule(
        name="image_not_pinned",
        points=1,
        reason="its image is named by a tag, which can come to mean another image",
        applies=lambda case: case.surroundings.image is ImageOrigin.UNPINNED,
    ),
    RatingRule(
        name="build_with_network",
        points=1,
        reason="policy lets its image be built with network: what it holds depends on others",
        applies=lambda case: (
            case.surroundings.image is ImageOrigin.BUILT_HERE and case.policy.build.network
        ),
    ),
    RatingRule(
        name="gvisor",
        points=-1,
        reason="runs on gVisor, which stands between it and the host's kernel",
        applies=lambda case: case.surroundings.runtime is Runtime.RUNSC,
    ),
)
