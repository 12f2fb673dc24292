"""Switch: an operator starts, stops or removes one plugin by command, without its files.

Each changes what is wanted of the plugin and nothing else; the loop acts. The files are not
changed, so the next `up` of them brings back what they say. All are audited, with who and why.
"""

from dataclasses import replace

from pydantic import JsonValue

from orchestrator.errors import OrchestratorError
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.revisions import Note
from orchestrator.manager.rollout_commands import Wish
from orchestrator.model.manifest import WantedState
from orchestrator.registry.resolve import DependenciesUnresolved


class Switch:
    """One per daemon. Its commands come one at a time, and after any `up`."""

    def __init__(self, *, manager: PluginManager, clerk: Clerk) -> None:
        self._manager = manager
        self._clerk = clerk

    async def start(self, wish: Wish) -> bool:
        """Whether it was not wanted running, or had been given up and is tried again.

        Raises PluginNotFound, and what `up` raises: DependenciesUnresolved, NotAdmitted.
        """
        return await self._command("start", wish, WantedState.RUNNING)

    async def stop(self, wish: Wish) -> bool:
        """Whether it was wanted running. Raises PluginNotFound, DependenciesUnresolved."""
        return await self._command("stop", wish, WantedState.STOPPED)

    async def remove(self, wish: Wish) -> bool:
        """It is wanted no more; its data stays. Raises PluginNotFound, DependenciesUnresolved."""
        return await self._command("remove", wish, None)

    async def _command(self, verb: str, wish: Wish, state: WantedState | None) -> bool:
        words = f"{verb} {wish.plugin_id}"
        async with self._manager.one:
            try:
                changed = await self._want(words, wish, state)
            except OrchestratorError as error:
                self._clerk.refusal(words, error, who=wish.who, why=wish.why)
                raise
            told: dict[str, JsonValue] = {"plugins": [wish.plugin_id], "changed": changed}
            self._clerk.command(words, told, who=wish.who, why=wish.why)
            return changed

    async def _want(self, words: str, wish: Wish, state: WantedState | None) -> bool:
        name, manager = wish.plugin_id, self._manager
        deployment = manager.deployment(name)
        if state is not WantedState.RUNNING:
            self._check_needed(name, "remove" if state is None else "stop")
        note = Note(who=wish.who, why=f"{words}: {wish.why}" if wish.why else words)
        if state is None:
            await manager.withdraw(name, note)
            return True
        inputs = manager.rollouts.asked(deployment)
        again = state is WantedState.RUNNING and manager.fleet.gave_up(name)
        if inputs.manifest.spec.state is state and not again:
            return False
        held = {key: update for key, update in manager.fleet.held.items() if key == name}
        await manager.take(_in_state(inputs, state), note, held=held)
        return True

    def _check_needed(self, name: str, verb: str) -> None:
        """Raises DependenciesUnresolved where others would be left without it."""
        needy = [
            one.plugin_id
            for one in self._manager.fleet.deployments.values()
            if name in one.dependencies and (one.running or verb == "remove")
        ]
        if needy:
            who = f"{', '.join(sorted(needy))}, which need{'' if len(needy) > 1 else 's'} it"
            first = ", ".join(f"`orchestrator {verb} {each}`" for each in sorted(needy))
            raise DependenciesUnresolved((f"{name}: found {who}, expected {first} first",))


def _in_state(inputs: Inputs, state: WantedState) -> Inputs:
    spec = inputs.manifest.spec.model_copy(update={"state": state})
    return replace(inputs, manifest=inputs.manifest.model_copy(update={"spec": spec}))
