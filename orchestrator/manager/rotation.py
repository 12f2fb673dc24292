"""Rotation: looks whether values of secrets changed, and has just their users made anew.

A changed value is a new revision like any other: it starts beside the one that runs, takes over
once it is well, and is gone back from if it never is. What runs keeps the value that it was given.
"""

import asyncio
from dataclasses import replace
from typing import Final

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment, Inputs
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.overridden import Overrides
from orchestrator.manager.revisions import Note
from orchestrator.manager.secret_use import digests_now, used
from orchestrator.manager.secrets import SecretReader

ORCHESTRATOR: Final = "orchestrator"


class Rotation:
    """Level-triggered: compares what is wanted with what the values are. One per daemon."""

    def __init__(
        self,
        *,
        manager: PluginManager,
        overrides: Overrides,
        secrets: SecretReader,
        clock: Clock,
    ) -> None:
        self._manager = manager
        self._overrides = overrides
        self._secrets = secrets
        self._clock = clock

    async def run(self) -> None:
        """For ever, until cancelled. The loop passes at least once in each interval."""
        looked = self._clock.monotonic()
        while True:
            await self._manager.loop.passed()
            if self._clock.monotonic() - looked >= self._manager.policy.reconcile.full_pass_seconds:
                await self.look()
                looked = self._clock.monotonic()

    async def look(self) -> list[str]:
        """Once over all plugins; those that are made anew."""
        deployments = self._manager.fleet.deployments
        users = [name for name, one in deployments.items() if used(one.inputs)]
        return [name for name in users if await self._look_at(name)]

    async def _look_at(self, name: str) -> bool:
        deployment = self._manager.fleet.deployments.get(name)
        if deployment is None:
            return False
        # A disk may be slow, and another machine's.
        now = await asyncio.to_thread(digests_now, deployment.inputs, self._secrets)
        if now == deployment.inputs.secret_digests:
            return False
        async with self._manager.one:
            try:
                return await self._renew(name, deployment)
            except OrchestratorError:
                return False  # the engine is away, say: the next look finds it again

    async def _renew(self, name: str, seen: Deployment) -> bool:
        """Unless something else became wanted since, or just this was tried and failed."""
        deployment = self._manager.fleet.deployments.get(name)
        if deployment is not seen:
            return False
        runs, asked = deployment.inputs, self._manager.rollouts.asked(deployment)
        if digests_now(asked, self._secrets) == asked.secret_digests:
            return False
        new = replace(runs, secret_digests=digests_now(runs, self._secrets))
        note = Note(who=ORCHESTRATOR, why=_words(runs, new))
        if _but_for_values(asked) == _but_for_values(runs):
            # Also where just the last value failed: this may be the one that mends it.
            held = {key: it for key, it in self._manager.fleet.held.items() if key == name}
            await self._manager.take(new, note, held=held)
        else:  # the update that failed stays where it is; what runs instead uses the value
            old = replace(deployment, inputs=new)
            self._manager.replace(self._manager.weighed(old, self._overrides.all), note)
        return True


def _but_for_values(inputs: Inputs) -> Inputs:
    return replace(inputs, secret_digests={})


def _words(old: Inputs, new: Inputs) -> str:
    before, now = old.secret_digests, new.secret_digests
    names = sorted(name for name in now if now[name] != before.get(name))
    return f"another value of {', '.join(names)}"
