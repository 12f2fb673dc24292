"""Drain: the daemon's way out. Nothing new comes in; what runs ends, at most so long."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from orchestrator.sandbox.call import FailureCode
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.server.gate import Gate

LOOK_SECONDS: Final = 0.01
LINGER_SECONDS: Final = 0.1
"""A shut gate is staffed at least so long: who just connected hears why, and to try again."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When to end, and when not to wait any more for what runs."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self) -> None:
        """A signal: the first asks to end, the next not to wait."""
        (self.hurry if self.stop.is_set() else self.stop).set()


async def drain(
    gate: Gate,
    sandboxes: Callable[[], Collection[PluginSandbox]],
    *,
    seconds: float,
    hurry: asyncio.Event,
) -> int:
    """Shut the gate and wait until all is quiet; how many calls had to be cut off."""
    gate.shut = True
    try:
        async with asyncio.timeout(seconds):
            await _until_quiet(gate, sandboxes, hurry)
    except TimeoutError:
        pass
    cut = 0
    for sandbox in sandboxes():
        cut += sandbox.in_flight
        sandbox.end_calls(
            FailureCode.DAEMON_STOPPED,
            "the daemon ended before the plugin had answered "
            f"(policy.lifecycle.drain_seconds: {seconds:g}); the plugin may go on with it",
        )
    return cut


async def _until_quiet(
    gate: Gate, sandboxes: Callable[[], Collection[PluginSandbox]], hurry: asyncio.Event
) -> None:
    now = asyncio.get_running_loop().time
    quiet_from = now() + LINGER_SECONDS
    while not hurry.is_set():
        if gate.busy or any(sandbox.in_flight for sandbox in sandboxes()):
            quiet_from = max(quiet_from, now() + LOOK_SECONDS)
        elif now() >= quiet_from:
            return
        await asyncio.sleep(LOOK_SECONDS)
