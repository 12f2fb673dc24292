"""Whether a plugin has come to where it was to come to, read from a row of its status. Pure."""

from collections.abc import Mapping
from typing import Any, Final

ON_ITS_WAY: Final = frozenset(
    {"pending", "waiting", "preparing", "starting", "adopting", "draining", "stopping"}
)
"""Sub-states that pass by themselves."""
STANDING: Final = frozenset({"paused", "rolled_back"})
"""Sub-states of a plugin that runs, though not as is wanted, and that no wait will change."""
FAILED: Final = frozenset({"held", "rolled_back"})
"""Sub-states that are no error of the plugin as it runs, and not what was wanted either."""


def settled(row: Mapping[str, Any]) -> bool:
    """Whether nothing more is to be waited for: it runs, is stopped or held, or failed.

    An update is over when the new revision has taken over, or the old one is back.
    """
    rollout = row.get("rollout") or {}
    if rollout.get("moving"):
        return False
    if rollout.get("state") == "failed":
        return True  # tried on, with no revision to go back to: that may take for ever
    if row["status"] == "active" and row["sub_state"] not in STANDING:
        return bool(row.get("settled", True)) or _stays_back(row)
    return row["sub_state"] not in ON_ITS_WAY


def is_failed(row: Mapping[str, Any]) -> bool:
    """Whether what was asked for does not run, whatever runs instead."""
    missed = (row.get("rollout") or {}).get("state") in {"rolled_back", "failed"}
    return row["status"] == "error" or row["sub_state"] in FAILED or missed or _stays_back(row)


def _stays_back(row: Mapping[str, Any]) -> bool:
    """Whether a change failed that has nothing to go back to: it is tried again for minutes."""
    rollout = row.get("rollout") or {}
    tried = rollout.get("state") == "progressing" and not rollout["moving"] and bool(row["reason"])
    return tried and not row.get("settled", True)


def fell_short(row: Mapping[str, Any]) -> bool:
    """Whether `up` did not reach what it was to reach."""
    return is_failed(row) or not settled(row)
