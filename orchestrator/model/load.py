"""Files as models: plugin.yaml, manifests, orchestrator.yaml. The model's only hand on the disk.

Every problem of every file comes at once, each with its line: nobody should have to run a command
once per mistake.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.git import GitSource
from orchestrator.model.info import PluginInfo
from orchestrator.model.json_schema import SchemaChecker, check_config
from orchestrator.model.manifest import PluginManifest, SecretSource
from orchestrator.model.parse import MAX_BYTES, parse_tree
from orchestrator.model.policy import InstanceConfig
from orchestrator.model.problems import FieldPath, InvalidFile, Positions, Problem, problem_at
from orchestrator.model.schema_cost import InvalidSchema
from orchestrator.model.tree import Tree
from orchestrator.model.validate import in_order, validated

PLUGIN_FILES = ("plugin.yaml", "plugin.json")
MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")


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

    def build_folder(self) -> Path | None:
        """The folder to build from, absolute; None if the manifest names an image."""
        build = self.manifest.spec.source.build
        return None if build is None else beside(self.path, build)

    def secret_file(self, name: str) -> Path:
        """The file of a declared secret, absolute."""
        return beside(self.path, self.manifest.spec.secrets[name].file)

    def credential_file(self, host: str) -> Path:
        """The file of the credential for a host, absolute."""
        return beside(self.path, self.manifest.spec.inject[host].file)

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
        raise InvalidFile([_problem(folder, " and ".join(PLUGIN_FILES), "one of the two")])
    if leads_outside(files[0], folder):
        raise InvalidFile([_problem(files[0], "a link that leads outside", "a file of the folder")])
    return parse_plugin_info(_read(files[0]), str(files[0]))


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


def load_manifest(path: Path) -> LoadedManifest:
    """One manifest. Raises InvalidFile."""
    if path.suffix not in MANIFEST_SUFFIXES:
        raise InvalidFile(
            [_problem(path, "another kind of file", f"one of {', '.join(MANIFEST_SUFFIXES)}")]
        )
    tree = parse_tree(_read(path), str(path))
    manifest = validated(PluginManifest, tree)
    return LoadedManifest(path=path, manifest=manifest, positions=tree.positions)


def load_manifests(paths: Sequence[Path]) -> list[LoadedManifest]:
    """The manifests at `paths` in order, each file once; folders give their own files by name.

    Raises InvalidFile with all problems of all files; two manifests of one name are one.
    """
    problems: list[Problem] = []
    loaded: list[LoadedManifest] = []
    for path in _distinct(paths, problems):
        try:
            loaded.append(load_manifest(path))
        except InvalidFile as error:
            problems += error.problems
    problems += _twins(loaded)
    if problems:
        raise InvalidFile(problems)
    return loaded


def load_instance_config(path: Path) -> InstanceConfig:
    """`orchestrator.yaml`, its shares' paths absolute. Raises InvalidFile."""
    config = validated(InstanceConfig, parse_tree(_read(path), str(path)))
    shares = {
        name: share.model_copy(update={"path": str(beside(path, share.path))})
        for name, share in config.policy.shares.items()
    }
    policy = config.policy.model_copy(update={"shares": shares})
    git = config.git and _git_beside(path, config.git)
    return config.model_copy(update={"policy": policy, "git": git})


def _git_beside(path: Path, git: GitSource) -> GitSource:
    """With every path of this machine absolute."""

    def file(source: SecretSource | None) -> SecretSource | None:
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


def beside(file: Path, relative: str) -> Path:
    """`relative` to the folder of `file`, absolute; links are left for the user of the path."""
    return Path(os.path.normpath(file.absolute().parent / relative))


def leads_outside(path: Path, folder: Path) -> bool:
    """Whether `path` is a link out of `folder`."""
    return not path.resolve().is_relative_to(folder.resolve())


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
            problems.append(_problem(file, "a link that leads outside", "a file of the folder"))
        else:
            files.append(file)
    if not files and not problems:
        # An empty folder would mean "take everything down", and is far more often a wrong path.
        suffixes = ", ".join(sorted(MANIFEST_SUFFIXES))
        problems.append(_problem(path, "a folder without manifests", f"files ending in {suffixes}"))
    return files


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


def _read(path: Path) -> bytes:
    try:
        # Non-blocking, so that a named pipe cannot hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidFile([_problem(path, "no plain file", "a plain file")])
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InvalidFile([_problem(path, "nothing there", "a file")]) from error
    except OSError as error:
        found = f"an unreadable file ({error.strerror})"
        raise InvalidFile([_problem(path, found, "a readable file")]) from error


def _problem(path: Path, found: str, expected: str) -> Problem:
    return Problem(file=str(path), found=found, expected=expected)
