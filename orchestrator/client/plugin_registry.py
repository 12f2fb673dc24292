"""PluginRegistry: what plugins there are, and loading them, under the specification's names.

Loading deploys the operator's manifest of the plugin, and those of all that it needs: a registry
decides nothing, and what a plugin gets is what its manifest and the daemon's policy say. So a
plugin that nobody wrote a manifest for can be registered and not loaded.
"""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.client.client import DaemonClient
from orchestrator.client.plugin_instance import LOAD_SECONDS, PluginInstance
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.info import PluginCategory, PluginInfo
from orchestrator.model.load import LoadedManifest, load_manifests, load_plugin_info
from orchestrator.registry.catalogue import Catalogue

WHY = "the registry of a program was told to"


class ManifestMissing(OrchestratorError):
    """No manifest says what the plugin gets."""

    kind, code = Kind.NOT_FOUND, "manifest_missing"


class OtherPluginFound(OrchestratorError):
    """The manifest leads to another plugin, or version, than the one that was registered."""

    kind, code = Kind.CONFLICT, "other_plugin_found"


class PluginRegistry:
    """One program's; what is loaded is the daemon's, and stays when the program ends."""

    def __init__(
        self, *, daemon: DaemonClient, manifests: Path, config: Path | None = None, who: str
    ) -> None:
        """`manifests` is a folder; `config` is `orchestrator.yaml`, as for `up`."""
        self.daemon = daemon
        self.who = who
        self._manifests = manifests.absolute()
        self._config = config.absolute() if config is not None else None
        self._catalogue = Catalogue()

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """Those that were registered, by id."""
        return self._catalogue.plugins

    def plugin(self, plugin_id: str) -> PluginInfo:
        """As it was registered. Raises PluginNotRegistered."""
        return self._catalogue.find(plugin_id)

    @property
    def categories(self) -> Mapping[PluginCategory, tuple[str, ...]]:
        """Plugin ids by category."""
        return self._catalogue.categories

    def dependencies(self, plugin_id: str) -> tuple[tuple[str, ...], ...]:
        """What it needs, in levels, and in the last one itself. Raises DependenciesUnresolved."""
        return self._catalogue.levels(plugin_id)

    def register_plugin(self, plugin_info: PluginInfo) -> bool:
        """Know the plugin. Raises PluginRegisteredOtherwise."""
        self._catalogue.add(plugin_info)
        return True

    def load_plugin(self, plugin_id: str, *, seconds: float = LOAD_SECONDS) -> PluginInstance:
        """Deploy it, and what it needs before it, until it takes calls.

        Nothing is changed unless all of it can be. Raises PluginNotRegistered,
        DependenciesUnresolved, ManifestMissing, OtherPluginFound; DaemonProblem
        (permission_refused and what else `up` is refused with); PluginNotReady.
        """
        names = [name for level in self._catalogue.levels(plugin_id) for name in level]
        found = {each.manifest.metadata.name: each for each in load_manifests([self._manifests])}
        paths = [self._checked(name, found.get(name)) for name in names]
        self.daemon.apply(paths, self._config)
        instance = PluginInstance(self._catalogue.find(plugin_id), self.daemon)
        version = instance.wait(seconds=seconds)["version"]
        if version != instance.info.version:
            raise OtherPluginFound(
                f"{plugin_id}: found version {version} in the image of its manifest, expected "
                f"{instance.info.version}, which was registered"
            )
        return instance

    def unload_plugin(self, plugin_id: str) -> bool:
        """Take it away in order; its data stays, and so do those that it needed.

        Raises DaemonProblem (plugin_not_found; dependencies_unresolved while another needs it).
        """
        return self.daemon.switch_plugin(plugin_id, "remove", who=self.who, why=WHY)

    def _checked(self, plugin_id: str, loaded: LoadedManifest | None) -> Path:
        """The manifest's file, if it leads to what was registered."""
        if loaded is None:
            raise ManifestMissing(
                f"{plugin_id}: found no manifest in {self._manifests}, expected one that says "
                "what it gets"
            )
        folder = loaded.build_folder()
        info = self._catalogue.find(plugin_id)
        if folder is not None and load_plugin_info(folder) != info:
            raise OtherPluginFound(
                f"{loaded.path}: found in {folder} another plugin.yaml than the one of "
                f"{plugin_id} {info.version} that was registered, expected the same"
            )
        return loaded.path
