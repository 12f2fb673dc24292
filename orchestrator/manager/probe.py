"""Prober: asks every running plugin how it does (`GET /v1/status`), at the policy's interval."""

import asyncio
import json
import math
from collections.abc import Callable
from typing import Final

from orchestrator.manager.bring_up import in_words, plain
from orchestrator.manager.fleet import Fleet, Report
from orchestrator.model.policy import LifecyclePolicy
from orchestrator.sandbox.call import CallFailure, Reply
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState

CANDIDATE_SECONDS: Final = 0.5
"""How often a container is asked that waits to take over from another revision."""
PROBE_SECONDS: Final = 5.0
MAX_MISSES: Final = 3
"""Probes in a row without an answer; then the plugin is stuck."""
MAX_METRICS: Final = 50
MAX_DETAIL: Final = 300
STATES: Final = frozenset({"ready", "degraded", "error"})


class Prober:
    """A plugin that does not answer is a value too: it is shown, and in the end replaced."""

    def __init__(self, fleet: Fleet, wake: Callable[[], None]) -> None:
        self._fleet = fleet
        self._wake = wake
        self._misses: dict[str, int] = {}

    async def run(self, policy: Callable[[], LifecyclePolicy]) -> None:
        """For ever, until cancelled; `policy` is asked anew each time."""
        due = 0.0
        while True:
            await asyncio.sleep(CANDIDATE_SECONDS)
            due += CANDIDATE_SECONDS
            sandboxes = self._candidates()
            if due >= policy().status_interval_seconds:
                due, sandboxes = 0.0, list(self._fleet.sandboxes.values())
            ready = [s for s in sandboxes if s.state is SandboxState.READY]
            await asyncio.gather(*(self.probe(sandbox) for sandbox in ready))

    def _candidates(self) -> list[PluginSandbox]:
        """Those that wait to take over from another revision, or never said how they do."""
        routes, reports = self._fleet.routes, self._fleet.reports
        return [
            sandbox
            for sandbox in self._fleet.sandboxes.values()
            if sandbox.sandbox_id not in reports
            or sandbox not in routes.get(sandbox.info.plugin_id, ())
        ]

    async def probe(self, sandbox: PluginSandbox) -> None:
        """One question, and what follows from the answer."""
        reply = await sandbox.control("GET", "/v1/status", b"", deadline_seconds=PROBE_SECONDS)
        if sandbox.state is not SandboxState.READY:
            return
        report = read_report(reply)
        self._note(sandbox, report)
        if isinstance(reply, Reply):
            self._misses.pop(sandbox.sandbox_id, None)
            return
        misses = self._misses.get(sandbox.sandbox_id, 0) + 1
        self._misses[sandbox.sandbox_id] = misses
        if misses >= MAX_MISSES:
            self._misses.pop(sandbox.sandbox_id)
            sandbox.give_up(f"it answered none of {MAX_MISSES} status probes")

    def _note(self, sandbox: PluginSandbox, report: Report) -> None:
        sandbox_id = sandbox.sandbox_id
        self._fleet.reports[sandbox_id] = report
        was_well = sandbox_id in self._fleet.well_since
        if report.state == "error":
            self._fleet.well_since.pop(sandbox_id, None)
        else:
            self._fleet.well_since.setdefault(sandbox_id, self._fleet.clock.monotonic())
        if was_well != (report.state != "error"):
            self._wake()


def read_report(reply: Reply | CallFailure) -> Report:
    """What the answer says; whatever is no proper report is an error of the plugin's."""
    if isinstance(reply, CallFailure):
        return Report(state="error", detail=f"status: {reply.detail}")
    if reply.status >= 300:  # noqa: PLR2004 - anything but success
        return Report(state="error", detail=f"status: {in_words(reply.status, reply.body)}")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    state = answer.get("state") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(state, str) or state not in STATES:
        return Report(state="error", detail="status: found no {state: ready, degraded or error}")
    detail, metrics = answer.get("detail"), answer.get("metrics")
    return Report(
        state=state,
        detail=plain(detail, MAX_DETAIL) if isinstance(detail, str) else "",
        metrics=_numbers(metrics) if isinstance(metrics, dict) else (),
    )


def _numbers(metrics: dict[str, object]) -> tuple[tuple[str, float], ...]:
    numbers = [
        (plain(name, 100), float(value))
        for name, value in metrics.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300  # noqa: PLR2004 - what a float holds; an int may not
        and math.isfinite(value)
    ]
    return tuple(sorted(numbers)[:MAX_METRICS])
