"""discover_plugins: the plugins that lie in the folders of a directory."""

import os
from pathlib import Path

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.files import leads_outside
from orchestrator.model.info import PluginInfo
from orchestrator.model.load import PLUGIN_FILES, load_plugin_info
from orchestrator.model.problems import InvalidFile, Problem


class PluginDirectoryNotFound(OrchestratorError):
    """The directory to look for plugins in does not exist, or is none."""

    kind, code = Kind.NOT_FOUND, "plugin_directory_not_found"

    def __init__(self, directory: Path, found: str) -> None:
        super().__init__(f"{directory}: found {found}, expected a directory of plugin folders")
        self.directory = directory


def discover_plugins(directory: Path | str) -> list[PluginInfo]:
    """Every direct sub-folder that holds plugin metadata, by id.

    Folders without metadata and hidden ones are passed over. A link that leads out of the
    directory is refused, not passed over: whoever made it expects a plugin there.
    Raises PluginDirectoryNotFound; InvalidFile with all problems of all plugins.
    """
    root = Path(directory)
    if not root.is_dir():
        raise PluginDirectoryNotFound(root, "no directory" if root.exists() else "nothing there")
    problems: list[Problem] = []
    found: dict[str, tuple[Path, PluginInfo]] = {}
    for folder in _folders(root, problems):
        try:
            info = load_plugin_info(folder)
        except InvalidFile as error:
            problems += error.problems
            continue
        first, _ = found.setdefault(info.plugin_id, (folder, info))
        if first is not folder:
            problems.append(_twin(folder, first, info.plugin_id))
    if problems:
        raise InvalidFile(problems)
    return [found[plugin_id][1] for plugin_id in sorted(found)]


def _folders(root: Path, problems: list[Problem]) -> list[Path]:
    folders = []
    for entry in sorted(root.iterdir()):
        if entry.name.startswith("."):
            continue
        if leads_outside(entry, root):
            problems.append(
                Problem(
                    file=str(entry),
                    found="a link that leads outside",
                    expected=f"a folder within {root}",
                )
            )
        elif any(os.path.lexists(entry / name) for name in PLUGIN_FILES):
            folders.append(entry)
    return folders


def _twin(folder: Path, first: Path, plugin_id: str) -> Problem:
    return Problem(
        file=str(folder),
        field="plugin_id",
        found=f"{plugin_id} again ({first} has it)",
        expected="every plugin once",
    )
