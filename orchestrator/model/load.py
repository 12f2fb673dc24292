"""Files as models: plugin.yaml, manifests, orchestrator.yaml. The model's only hand on the disk.

Every problem of every file comes at once, each with its line: nobody should have to run a command
once per mistake.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.environments import Patch, Patches, read_patches
from orchestrator.model.files import (
    MANIFEST_SUFFIXES,
    beside,
    file_problem,
    leads_outside,
    read_file,
)
from orchestrator.model.git import GitSource
from orchestrator.model.info import PluginInfo
from orchestrator.model.json_schema import SchemaChecker, check_config
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.overlay import overlay
from orchestrator.model.parse import parse_tree
from orchestrator.model.policy import InstanceConfig
from orchestrator.model.problems import FieldPath, InvalidFile, Positions, Problem, problem_at
from orchestrator.model.schema_cost import InvalidSchema
from orchestrator.model.secret_source import SecretFile
from orchestrator.model.tree import Tree
from orchestrator.model.validate import in_order, validated

PLUGIN_FILES = ("plugin.yaml", "plugin.json")


class NotAPlugin(OrchestratorError):
    """A folder without plugin.yaml and without plugin.json."""

    kind, code = Kind.INVALID, "not_a_plugin"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder}: found no plugin metadata, expected {' or '.join(PLUGIN_FILES)}"
        )
        self.folder = folder


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedManifest:
    """A manifest, and the file whose folder its paths are relative to."""

    path: Path
    manifest: PluginManifest
    positions: Positions = field(default_factory=Positions, repr=False, compare=False)
    data: JsonValue = field(default=None, repr=False, compare=False)
    """As it is written, the patch of the environment over it."""
    patch: Path | None = None
    """The environment's file, if there is one for it."""
    base: PluginManifest | None = None
    """What the file says without it; None where there is no patch, or too little without it."""

    def build_folder(self) -> Path | None:
        """The folder to build from, absolute; None if the manifest names an image."""
        build = self.manifest.spec.source.build
        return None if build is None else beside(self.path, build)

    def config(self, info: PluginInfo) -> dict[str, JsonValue]:
        """`spec.config` with defaults. Raises InvalidFile naming each wrong field's line."""
        return check_config(
            info.config_schema,
            self.manifest.spec.config,
            file=str(self.path),
            positions=self.positions,
        )

    def problem(self, at: FieldPath, *, found: str, expected: str, hint: str = "") -> Problem:
        """A problem that shows only later (policy, registry), with its line in this file."""
        return problem_at(
            str(self.path), self.positions, at, found=found, expected=expected, hint=hint
        )


def load_plugin_info(folder: Path) -> PluginInfo:
    """What a plugin's folder says of it. Raises NotAPlugin, InvalidFile."""
    files = [folder / name for name in PLUGIN_FILES if os.path.lexists(folder / name)]
    if not files:
        raise NotAPlugin(folder)
    if len(files) > 1:
        raise InvalidFile([file_problem(folder, " and ".join(PLUGIN_FILES), "one of the two")])
    if leads_outside(files[0], folder):
        raise InvalidFile(
            [file_problem(files[0], "a link that leads outside", "a file of the folder")]
        )
    return parse_plugin_info(read_file(files[0]), str(files[0]))


def parse_plugin_info(data: bytes, file: str) -> PluginInfo:
    """Plugin metadata from anywhere (an image, a package); `file` names it in problems."""
    tree = parse_tree(data, file)
    problems = _schema_problems(tree)
    try:
        info = validated(PluginInfo, tree)
    except InvalidFile as error:
        raise InvalidFile(in_order([*problems, *error.problems])) from error
    if problems:
        raise InvalidFile(in_order(problems))
    return info


def load_manifest(path: Path, patches: Patches | None = None) -> LoadedManifest:
    """One manifest, with the patch for it. Raises InvalidFile."""
    if path.suffix not in MANIFEST_SUFFIXES:
        kinds = f"one of {', '.join(MANIFEST_SUFFIXES)}"
        if not path.exists():
            raise InvalidFile([file_problem(path, "nothing there", f"a folder, or {kinds}")])
        raise InvalidFile([file_problem(path, "another kind of file", kinds)])
    tree = parse_tree(read_file(path), str(path))
    patch = patches.of(path, tree) if patches is not None else None
    whole = overlay(tree, patch.tree) if patch is not None else tree
    return LoadedManifest(
        path=path,
        manifest=validated(PluginManifest, whole),
        positions=whole.positions,
        data=whole.data,
        patch=patch.path if patch is not None else None,
        base=_unpatched(tree, patch),
    )


def load_manifests(paths: Sequence[Path], environment: str | None = None) -> list[LoadedManifest]:
    """The manifests at `paths` in order, each file once; folders give their own files by name.

    With an environment its patches are over them. Raises InvalidFile with all problems of all
    files, two manifests of one name being one; EnvironmentUnknown.
    """
    loaded, problems = read_manifests(paths, environment)
    if problems:
        raise InvalidFile(problems)
    return loaded


def read_manifests(
    paths: Sequence[Path], environment: str | None = None
) -> tuple[list[LoadedManifest], list[Problem]]:
    """The same for whoever goes on with what is right. Raises EnvironmentUnknown."""
    problems: list[Problem] = []
    loaded: list[LoadedManifest] = []
    patches = read_patches(paths, environment) if environment is not None else None
    for path in _distinct(paths, problems):
        try:
            loaded.append(load_manifest(path, patches))
        except InvalidFile as error:
            problems += error.problems
    problems += _twins(loaded)
    if patches is not None:
        problems += patches.problems
        problems += [] if problems else _without_base(patches, paths, loaded)
    return loaded, problems


def load_instance_config(path: Path) -> InstanceConfig:
    """`orchestrator.yaml`, its shares' paths absolute. Raises InvalidFile."""
    config = validated(InstanceConfig, parse_tree(read_file(path), str(path)))
    shares = {
        name: share.model_copy(update={"path": str(beside(path, share.path))})
        for name, share in config.policy.shares.items()
    }
    policy = config.policy.model_copy(update={"shares": shares})
    git = config.git and _git_beside(path, config.git)
    return config.model_copy(update={"policy": policy, "git": git})


def _git_beside(path: Path, git: GitSource) -> GitSource:
    """With every path of this machine absolute."""

    def file(source: SecretFile | None) -> SecretFile | None:
        return source and source.model_copy(update={"file": str(beside(path, source.file))})

    def text(name: str | None) -> str | None:
        return name and str(beside(path, name))

    signers = text(git.verify.allowed_signers)
    return git.model_copy(
        update={
            "url": str(beside(path, git.url)) if git.url.startswith(".") else git.url,
            "token": file(git.token),
            "ssh_key": file(git.ssh_key),
            "known_hosts": text(git.known_hosts),
            "files": tuple(str(beside(path, folder)) for folder in git.files),
            "verify": git.verify.model_copy(update={"allowed_signers": signers}),
            "webhook": git.webhook
            and git.webhook.model_copy(update={"secret": file(git.webhook.secret)}),
        }
    )


def _distinct(paths: Sequence[Path], problems: list[Problem]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        for file in _expanded(path, problems):
            if (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def _expanded(path: Path, problems: list[Problem]) -> list[Path]:
    """The manifest files of a folder (not of its sub-folders); a file as itself."""
    if not path.is_dir():
        return [path]
    files = []
    for file in sorted(path.iterdir()):
        if file.suffix not in MANIFEST_SUFFIXES or file.name.startswith(".") or file.is_dir():
            continue
        # A folder may come from a stranger's repository; a file named by the operator does not.
        if leads_outside(file, path):
            problems.append(file_problem(file, "a link that leads outside", "a file of the folder"))
        else:
            files.append(file)
    if not files and not problems:
        # An empty folder would mean "take everything down", and is far more often a wrong path.
        suffixes = ", ".join(sorted(MANIFEST_SUFFIXES))
        problems.append(
            file_problem(path, "a folder without manifests", f"files ending in {suffixes}")
        )
    return files


def _unpatched(tree: Tree, patch: Patch | None) -> PluginManifest | None:
    """A base need not be whole: the patch may say what it leaves open."""
    try:
        return validated(PluginManifest, tree) if patch is not None else None
    except InvalidFile:
        return None


def _without_base(
    patches: Patches, paths: Sequence[Path], loaded: list[LoadedManifest]
) -> Iterator[Problem]:
    """Only of folders that were named as a whole; and only where every manifest was read."""
    for folder in dict.fromkeys(path for path in paths if path.is_dir()):
        names = [
            one.manifest.metadata.name
            for one in loaded
            if one.path.parent.resolve() == folder.resolve()
        ]
        yield from patches.without_base(folder, names)


def _twins(loaded: list[LoadedManifest]) -> Iterator[Problem]:
    first: dict[str, LoadedManifest] = {}
    for each in loaded:
        name = each.manifest.metadata.name
        if (other := first.setdefault(name, each)) is not each:
            yield each.problem(
                ("metadata", "name"),
                found=f"{name} again ({other.path} has it)",
                expected="one manifest for each plugin",
            )


def _schema_problems(tree: Tree) -> list[Problem]:
    """Of the JSON Schemas in plugin metadata; where there is none, the model complains."""
    problems = []
    for path, schema in _schemas(tree.data):
        try:
            SchemaChecker(schema)
        except InvalidSchema as error:
            at = (*path, *error.path)
            problems.append(
                problem_at(
                    tree.file, tree.positions, at, found=error.found, expected=error.expected
                )
            )
    return problems


def _schemas(data: JsonValue) -> Iterator[tuple[FieldPath, dict[str, JsonValue]]]:
    if not isinstance(data, dict):
        return
    places: list[tuple[FieldPath, JsonValue]] = [(("config_schema",), data.get("config_schema"))]
    tools = data.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(tool, dict):
            places += [
                (("tools", index, name), tool.get(name))
                for name in ("input_schema", "output_schema")
            ]
    for path, schema in places:
        if isinstance(schema, dict):
            yield path, schema
