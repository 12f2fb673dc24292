"""Seen: how the plugins of the repository stand, as far as the manager knows."""

from collections.abc import Collection, Mapping

from orchestrator.gitops.reading import fingerprint
from orchestrator.gitops.state import Applied
from orchestrator.gitops.steps import Condition, Health
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.revisions import RevisionState

_GOOD = Condition(health=Health.GOOD)


class Seen:
    """Looks; changes nothing."""

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager
        self._known: dict[str, tuple[Inputs, str]] = {}
        """What was fingerprinted last of each plugin: it is asked for often and changes seldom."""

    def wanted(self, name: str) -> str | None:
        """The fingerprint of what is wanted of a plugin; None if it is not wanted."""
        deployment = self._manager.fleet.deployments.get(name)
        if deployment is None:
            self._known.pop(name, None)
            return None
        inputs = self._manager.rollouts.asked(deployment)
        known = self._known.get(name)
        if known is None or known[0] is not inputs:
            known = self._known[name] = inputs, fingerprint(inputs)
        return known[1]

    def inputs(self, names: Collection[str]) -> dict[str, Inputs]:
        """What is wanted of those of the plugins that are."""
        known = self._manager.fleet.deployments
        asked = self._manager.rollouts.asked
        return {name: asked(known[name]) for name in names if name in known}

    def held(self, name: str) -> bool:
        """Whether an update of it waits for somebody's grant."""
        return name in self._manager.fleet.held

    def taken_back(self, name: str, applied: Applied) -> bool:
        """Whether an operator undid just this: that stands until git says another thing."""
        if name not in self._manager.fleet.deployments:
            return False
        return any(
            revision.state is RevisionState.UNDONE
            and fingerprint(revision.inputs) == applied.fingerprint
            for revision in self._manager.rollouts.of(name).revisions
        )

    def drifted(self, applied: Mapping[str, Applied]) -> tuple[str, ...]:
        """Plugins of which something else is wanted than git said, by somebody's hand."""
        return tuple(
            name
            for name, one in sorted(applied.items())
            if self.wanted(name) != one.fingerprint
            and not self.held(name)
            and not self.taken_back(name, one)
        )

    def condition(self, name: str, applied: Applied | None) -> Condition:
        """How a plugin does that a sync changed."""
        fleet = self._manager.fleet
        deployment = fleet.deployments.get(name)
        if deployment is None or applied is None or self.held(name):
            return _GOOD  # somebody took it away, or it waits for a grant: neither is its fault
        if self.wanted(name) != applied.fingerprint:
            return _GOOD  # what runs now is somebody's else's wish
        rollout = self._manager.rollouts.of(name)
        wanted = rollout.wanted
        if rollout.paused:
            return _GOOD  # an operator wants nothing to move
        if wanted.state is RevisionState.FAILED:
            return Condition(health=Health.FAILED, words=wanted.reason)
        if wanted.state is RevisionState.HEALTHY or not deployment.running:
            return _GOOD
        waits = fleet.waiting.get(name) or f"revision {wanted.number} is {wanted.state}"
        return Condition(health=Health.WAITING, words=waits)
