"""Workshop: writes the plugin folders that a test needs, and the manifests that deploy them.

Most tests care for what the orchestrator does with a plugin, not for what the plugin does: theirs
is the one in C under a name of their own, 700 kB large and started in milliseconds.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.instance import PLUGINS, Instance

PREFIX = "e2e-"
"""Of every plugin id made here, so that the images can be told from others and taken away."""
_SCRATCH = """\
FROM scratch
COPY c-echo plugin.yaml /plugin/
WORKDIR /plugin
USER 65532:65532
ENTRYPOINT ["/plugin/c-echo"]
"""
_INFO = {
    "name": "A test's plugin",
    "version": "1.0.0",
    "author": "The orchestrator's authors",
    "description": "Made for one test.",
    "category": "integration",
}


@dataclass(frozen=True, slots=True)
class Workshop:
    """The folders lie beside the instance's manifests."""

    instance: Instance
    binary: Path
    """The C plugin, compiled."""

    def small(self, plugin_id: str, *, info: dict[str, Any] | None = None, **spec: Any) -> Path:
        """The C plugin with tools `echo` and `sleep`; `info` goes over its metadata."""
        mine = yaml.safe_load((PLUGINS / "c_echo" / "plugin.yaml").read_text())
        folder = self._folder(plugin_id, {**mine, **(info or {})})
        shutil.copy2(self.binary, folder / "c-echo")
        (folder / "Dockerfile").write_text(_SCRATCH)
        self.instance.manifest(plugin_id, build=folder, **spec)
        return folder

    def script(
        self, plugin_id: str, code: str, *, info: dict[str, Any] | None = None, **spec: Any
    ) -> Path:
        """A plugin in Python whose module is `code`; its class is `Plugin`."""
        folder = self._folder(plugin_id, {**_INFO, "entry_point": "main:Plugin", **(info or {})})
        (folder / "main.py").write_text(code)
        self.instance.manifest(plugin_id, build=folder, **spec)
        return folder

    def recipe(self, plugin_id: str, dockerfile: str, **spec: Any) -> Path:
        """A plugin with a Dockerfile of its own and nothing else."""
        folder = self._folder(plugin_id, {**_INFO, "entry_point": "/plugin/none"})
        (folder / "Dockerfile").write_text(dockerfile)
        self.instance.manifest(plugin_id, build=folder, **spec)
        return folder

    def revise(self, plugin_id: str, **info: Any) -> None:
        """Change fields of the plugin's own metadata."""
        path = self.instance.folder / "plugins" / plugin_id / "plugin.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **info}))

    def _folder(self, plugin_id: str, info: dict[str, Any]) -> Path:
        assert plugin_id.startswith(PREFIX)
        folder = self.instance.folder / "plugins" / plugin_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plugin.yaml").write_text(yaml.safe_dump({**info, "plugin_id": plugin_id}))
        return folder
