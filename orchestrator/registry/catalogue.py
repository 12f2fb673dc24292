"""Catalogue: which plugins are registered, of which category, and what each needs. Pure."""

from types import MappingProxyType

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.info import PluginCategory, PluginInfo
from orchestrator.model.versions import parse_dependency
from orchestrator.registry.resolve import Node, resolve


class PluginNotRegistered(OrchestratorError):
    """Nobody registered a plugin of that id."""

    kind, code = Kind.NOT_FOUND, "plugin_not_registered"


class PluginRegisteredOtherwise(OrchestratorError):
    """A plugin of that id and version says something else of itself than the one registered."""

    kind, code = Kind.CONFLICT, "plugin_registered_otherwise"


class Catalogue:
    """One version of each plugin: the one that was registered last."""

    def __init__(self) -> None:
        self._plugins: dict[str, PluginInfo] = {}

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """By id."""
        return tuple(self._plugins[name] for name in sorted(self._plugins))

    @property
    def categories(self) -> MappingProxyType[PluginCategory, tuple[str, ...]]:
        """Every category with the ids of its plugins; those without any are left out."""
        found: dict[PluginCategory, tuple[str, ...]] = {}
        for info in self.plugins:
            found[info.category] = (*found.get(info.category, ()), info.plugin_id)
        return MappingProxyType(found)

    def add(self, info: PluginInfo) -> None:
        """Another version takes the place of the one before. Raises PluginRegisteredOtherwise."""
        known = self._plugins.get(info.plugin_id)
        if known is not None and known.version == info.version and known != info:
            fields = info.model_fields_set | known.model_fields_set
            differ = sorted(n for n in fields if getattr(info, n) != getattr(known, n))
            raise PluginRegisteredOtherwise(
                f"{info.plugin_id} {info.version}: found another {', '.join(differ)} than in the "
                "one that is registered, expected another version for other content"
            )
        self._plugins[info.plugin_id] = info

    def find(self, plugin_id: str) -> PluginInfo:
        """Raises PluginNotRegistered."""
        info = self._plugins.get(plugin_id)
        if info is None:
            known = ", ".join(sorted(self._plugins)) or "none"
            raise PluginNotRegistered(
                f"found {plugin_id!r}, expected a plugin that was registered: {known}"
            )
        return info

    def levels(self, plugin_id: str) -> tuple[tuple[str, ...], ...]:
        """The plugin and all that it needs, in the order in which they are to be loaded.

        Raises PluginNotRegistered; DependenciesUnresolved with every problem.
        """
        reached, ahead = {plugin_id: self.find(plugin_id)}, [plugin_id]
        while ahead:
            for text in reached[ahead.pop()].dependencies:
                name = parse_dependency(text)[0]
                if name in self._plugins and name not in reached:
                    reached[name] = self._plugins[name]
                    ahead.append(name)
        return resolve(
            [
                Node(plugin_id=name, version=info.version, dependencies=info.dependencies)
                for name, info in reached.items()
            ]
        )
