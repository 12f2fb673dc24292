"""UnderWay: the steps that are being carried out, so that no other begins where one is at it."""

from collections.abc import Iterable

from orchestrator.engine.base import LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.manager.actions import WHOLE
from orchestrator.model.container import ContainerState


class UnderWay(dict[str, dict[str, str]]):
    """Plugin → the keys of its steps (see Action.key), each with the step in words."""

    def begin(self, plugin_id: str, key: str, words: str) -> None:
        """A step is under way; again with other words to tell how it goes on."""
        self.setdefault(plugin_id, {})[key] = words

    def end(self, plugin_id: str, key: str) -> None:
        """It is over."""
        steps = self.get(plugin_id, {})
        steps.pop(key, None)
        if not steps:
            self.pop(plugin_id, None)

    def has(self, container: ContainerState) -> bool:
        """Whether a step is at the container, or at its whole plugin."""
        return not keys_of(container).isdisjoint(self.get(container.label(LABEL_PLUGIN), {}))

    def beside(self, more: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
        """The keys by plugin, with others that are not to be touched now either."""
        keys = {plugin_id: {*steps} for plugin_id, steps in self.items()}
        for plugin_id, key in more:
            keys.setdefault(plugin_id, set()).add(key)
        return keys

    def in_words(self, plugin_id: str) -> str:
        """Of several steps the one that began last; empty if there is none."""
        return next(reversed(self.get(plugin_id, {}).values()), "")


def keys_of(container: ContainerState) -> set[str]:
    """The keys of steps that would be about the container."""
    return {WHOLE, container.container_id, container.label(LABEL_SANDBOX)}
