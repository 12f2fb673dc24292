"""Environments: the patches that lie beside a folder's manifests, in environments/NAME/."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.files import MANIFEST_SUFFIXES, file_problem, leads_outside, read_file
from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import InvalidFile, Problem, problem_at, shown, suggestion
from orchestrator.model.tree import Tree

ENVIRONMENTS = "environments"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HEADER: dict[str, JsonValue] = {"apiVersion": "orchestrator/v1", "kind": "Plugin"}


class EnvironmentUnknown(OrchestratorError):
    """An environment that none of the folders has."""

    kind, code = Kind.NOT_FOUND, "environment_unknown"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        hint = f" ({near})" if (near := suggestion(name, names)) else ""
        expected = f"one of {', '.join(names)}" if names else f"a folder {ENVIRONMENTS}/NAME"
        super().__init__(f"environment: found {shown(name)}, expected {expected}{hint}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What one file changes of the manifest of that name."""

    path: Path
    name: str
    tree: Tree


@dataclass(slots=True)
class Patches:
    """Those of one environment, by the folder of their bases."""

    found: dict[Path, dict[str, Patch]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def of(self, base: Path, tree: Tree) -> Patch | None:
        """The patch for the manifest `tree` that was read from `base`."""
        return self.found.get(base.parent.resolve(), {}).get(name_of(tree))

    def without_base(self, folder: Path, names: Iterable[str]) -> Iterator[Problem]:
        """Problems of the patches in a folder that holds manifests of those names only."""
        known = set(names)
        for name, patch in self.found.get(folder.resolve(), {}).items():
            if name not in known:
                yield _at_name(
                    patch.tree,
                    found=f"{shown(name)}, of which {folder} has no manifest",
                    expected="the name of a manifest that lies there",
                    hint=suggestion(name, known),
                )


def read_patches(paths: Sequence[Path], environment: str) -> Patches:
    """The environment's patches for the manifests at `paths`. Raises EnvironmentUnknown."""
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in paths)
    having = [folder for folder in folders if _has(folder, environment)]
    if not having:
        raise EnvironmentUnknown(environment, {name for one in folders for name in known_in(one)})
    patches = Patches()
    for folder in having:
        patches.found.setdefault(folder.resolve(), {}).update(
            _in_folder(folder, environment, patches.problems)
        )
    return patches


def known_in(folder: Path) -> list[str]:
    """The environments of a folder, by name."""
    parent = folder / ENVIRONMENTS
    if not parent.is_dir() or leads_outside(parent, folder):
        return []
    return sorted(one.name for one in parent.iterdir() if _has(folder, one.name))


def name_of(tree: Tree) -> str:
    """The name that a manifest or patch gives its plugin; empty if it gives none."""
    metadata = tree.data.get("metadata") if isinstance(tree.data, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _has(folder: Path, environment: str) -> bool:
    # The pattern first: `..` and its like never reach the disk.
    return (
        _NAME.fullmatch(environment) is not None and (folder / ENVIRONMENTS / environment).is_dir()
    )


def _in_folder(folder: Path, environment: str, problems: list[Problem]) -> dict[str, Patch]:
    place = folder / ENVIRONMENTS / environment
    if leads_outside(place, folder):
        problems.append(_led_astray(place))
        return {}
    found: dict[str, Patch] = {}
    for path in sorted(place.iterdir()):
        if path.suffix not in MANIFEST_SUFFIXES or path.name.startswith(".") or path.is_dir():
            continue
        try:
            patch = _read(path, folder)
            if (other := found.setdefault(patch.name, patch)) is not patch:
                found_twice = f"a second patch of {patch.name} ({other.path} is one)"
                problems.append(
                    _at_name(patch.tree, found=found_twice, expected="one for each manifest")
                )
        except InvalidFile as error:
            problems += error.problems
    return found


def _read(path: Path, folder: Path) -> Patch:
    """Raises InvalidFile."""
    if leads_outside(path, folder):
        raise InvalidFile([_led_astray(path)])
    tree = parse_tree(read_file(path), str(path))
    data = tree.data if isinstance(tree.data, dict) else {}
    problems = [
        problem_at(
            tree.file,
            tree.positions,
            (key,),
            found=shown(data[key]) if key in data else "nothing",
            expected=str(value),
        )
        for key, value in _HEADER.items()
        if data.get(key) != value
    ]
    if not name_of(tree):
        problems.append(_at_name(tree, found="no name", expected="the name of a manifest"))
    if problems:
        raise InvalidFile(problems)
    return Patch(path=path, name=name_of(tree), tree=tree)


def _at_name(tree: Tree, *, found: str, expected: str, hint: str = "") -> Problem:
    at = ("metadata", "name")
    return problem_at(tree.file, tree.positions, at, found=found, expected=expected, hint=hint)


def _led_astray(path: Path) -> Problem:
    return file_problem(path, "a link that leads outside", "a file of the folder")
