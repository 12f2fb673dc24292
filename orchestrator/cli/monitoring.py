"""What `up` says of the monitoring stack."""

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from orchestrator.cli.render import one_line
from orchestrator.client.client import DaemonClient
from orchestrator.client.problem import DaemonProblem

WAIT_SECONDS: Final = 600.0
"""Longest wait for the stack: its images are made from packages, or pulled."""
POLL_SECONDS: Final = 0.3
WIDTH: Final = 300


def tell_monitoring(client: DaemonClient, *, wait: bool = True) -> None:
    """One line for what runs, and one for each part that does not.

    Waits until it runs or is known not to; says nothing where nobody wants it.
    """
    with contextlib.suppress(DaemonProblem):  # of an earlier version: it has no such stack
        state = _settled(client) if wait else client.monitoring()
        for line in monitoring_lines(state):
            click.echo(f"monitoring: {line}", err=True)


def monitoring_lines(state: Mapping[str, Any]) -> list[str]:
    """The addresses of what runs, and why the rest does not."""
    up = [f"{part['name']} {part['address']}" for part in state["parts"] if part["running"]]
    down = [part for part in state["parts"] if not part["running"]]
    lines = [", ".join(up)] if up else []
    for part in down:
        why = part["detail"] or state["trouble"] or "starting"
        lines.append(f"{part['name']} does not run: {one_line(why, WIDTH)}")
    return lines


def _settled(client: DaemonClient) -> Mapping[str, Any]:
    until, told = time.monotonic() + WAIT_SECONDS, False
    while True:
        state = client.monitoring()
        if state["settled"] or time.monotonic() > until:
            return state
        if not told and sys.stderr.isatty():
            click.echo("monitoring: starting (its images are had first)", err=True)
            told = True
        time.sleep(POLL_SECONDS)
