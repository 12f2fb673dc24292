"""Live progress of `up`: one line a plugin on a terminal, one line a change elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from orchestrator.cli.render import mark, one_line

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


class Progress:
    """Keeps what was shown last; on a terminal it is drawn over."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown: dict[str, str] = {}
        self._lines = 0

    def show(self, plugins: Sequence[Mapping[str, Any]]) -> None:
        """The plugins as they are now."""
        now = {
            str(row["plugin_id"]): f"{mark(str(row['status']))}  {one_line(str(row['detail']), 80)}"
            for row in plugins
        }
        if now == self._shown:
            return
        if not self._shown and all(settled(row) for row in plugins):
            return  # nothing is under way: the table that follows says it all
        width = max((len(name) for name in now), default=0)
        if self._live:
            if self._lines:
                click.echo(f"\x1b[{self._lines}A\x1b[J", nl=False, err=True)
            for name, text in now.items():
                click.echo(f"  {name.ljust(width)}  {text}", err=True)
            self._lines = len(now)
        else:
            for name, text in now.items():
                if self._shown.get(name) != text:
                    click.echo(f"  {name.ljust(width)}  {click.unstyle(text)}", err=True)
        self._shown = now

    def end(self) -> None:
        """Wipe what is live: the table that follows says the same."""
        if self._live and self._lines:
            click.echo(f"\x1b[{self._lines}A\x1b[J", nl=False, err=True)
            self._lines = 0
