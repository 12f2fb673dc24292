"""Counts: the names under which rows count things, and which event counts as what. Pure.

Every family is a closed list of the code, so that no plugin makes rows grow.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.model.events import EventName
from orchestrator.model.permissions import PermissionKind

OUTCOME: Final = "outcome"
"""`outcome:ok`, `outcome:deadline_exceeded`, …: how calls ended."""
EVENT: Final = "event"
"""`event:died`, …: what the orchestrator told of the plugin."""
REFUSED: Final = "refused"
"""`refused:host_not_granted`, …: what brokers refused it, by rule."""
USED: Final = "used"
"""`used:plugin_communication`: events that the plugin published."""
BYTES: Final = "bytes"
"""`bytes:external_api`, …: what went through the permission's broker, both ways."""
STATE: Final = "state"
"""`state:active`, …: looks at the plugin's state, one a minute."""


class Sampled(StrEnum):
    """What adds up of samples."""

    CPU_SECONDS = "cpu_seconds"
    THROTTLED_SECONDS = "throttled_seconds"
    THROTTLED_PERIODS = "throttled_periods"
    PERIODS = "periods"
    OOM_KILLS = "oom_kills"


class Level(StrEnum):
    """What is looked at."""

    MEMORY = "memory"
    """Bytes."""
    CPU = "cpu"
    """Percent of one core."""
    DISK = "disk"
    NETWORK = "network"
    """Bytes within the policy's window."""
    PIDS = "pids"


RESTARTED: Final = "event:restarted"
"""Starts after unwanted ends: the fleet counts them."""
EVENT_COUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        EventName.PLUGIN_STARTED: "started",
        EventName.PLUGIN_START_FAILED: "start_failed",
        EventName.PLUGIN_DIED: "died",
        EventName.PLUGIN_STUCK: "stuck",
        EventName.PLUGIN_VANISHED: "vanished",
        EventName.PLUGIN_DRIFTED: "drifted",
        EventName.PLUGIN_GAVE_UP: "gave_up",
        EventName.PLUGIN_OOM: "out_of_memory",
        EventName.PLUGIN_QUOTA_EXCEEDED: "quota_exceeded",
        EventName.EVENT_DEAD: "event_dead",
        EventName.ROLLOUT_COMPLETED: "rollout_completed",
        EventName.ROLLOUT_FAILED: "rollout_failed",
        EventName.ROLLOUT_ROLLED_BACK: "rolled_back",
    }
)
"""What is counted of the orchestrator's own events about a plugin."""
ALERTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        EventName.PLUGIN_QUOTA_EXCEEDED: "quota_exceeded",
        EventName.PLUGIN_DRIFTED: "drifted",
        EventName.PLUGIN_STUCK: "stuck",
        EventName.PLUGIN_VANISHED: "vanished",
        EventName.PLUGIN_GAVE_UP: "gave_up",
        EventName.PLUGIN_OOM: "out_of_memory",
        EventName.ROLLOUT_ROLLED_BACK: "rolled_back",
        EventName.STATE_REBUILT: "state_rebuilt",
    }
)
"""Events that a person should see; those about a plugin are counted above by the same names."""
QUOTA_HIT: Final = "quota_exceeded"
"""Also the code of a refusal: a broker's."""
NETWORKED: Final = (
    PermissionKind.NETWORK_ACCESS,
    PermissionKind.EXTERNAL_API,
    PermissionKind.DATABASE_ACCESS,
)
"""Permissions whose bytes go through the one network meter."""


def counted(family: str, numbers: Mapping[str, float]) -> dict[str, float]:
    """`numbers` under the family's prefix, as far as they are above nothing."""
    return {f"{family}:{name}": float(number) for name, number in numbers.items() if number > 0}
