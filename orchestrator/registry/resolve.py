"""Dependencies as a graph: who needs whom, in which version, and in what order. Pure."""

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.versions import parse_dependency, satisfies


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One plugin as its dependants see it."""

    plugin_id: str
    version: str
    dependencies: tuple[str, ...] = ()
    """As in plugin.yaml: `id` or `id@range`."""
    runs: bool = True
    """Whether its manifest wants it running."""
    file: str = ""
    """Its manifest."""

    @property
    def told(self) -> str:
        """The plugin, and where it comes from."""
        return f"{self.plugin_id} ({self.file})" if self.file else self.plugin_id


class DependenciesUnresolved(OrchestratorError):
    """Some dependency is missing, stopped, of the wrong version, or part of a cycle."""

    kind, code = Kind.INVALID, "dependencies_unresolved"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def resolve(nodes: Sequence[Node]) -> tuple[tuple[str, ...], ...]:
    """The plugins in levels: each needs only those of earlier levels, names in order.

    Raises DependenciesUnresolved with every problem.
    """
    known = {node.plugin_id: node for node in nodes}
    problems = [
        problem
        for node in sorted(nodes, key=lambda node: node.plugin_id)
        for number in range(len(node.dependencies))
        if (problem := _problem(node, number, known)) is not None
    ]
    if problems:
        raise DependenciesUnresolved(tuple(problems))
    sorter = graphlib.TopologicalSorter(
        {n.plugin_id: {parse_dependency(text)[0] for text in n.dependencies} for n in nodes}
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise DependenciesUnresolved(
            (f"dependencies: found the cycle {circle}, expected none",)
        ) from error
    levels = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready()))
        levels.append(ready)
        sorter.done(*ready)
    return tuple(levels)


def _problem(node: Node, number: int, known: Mapping[str, Node]) -> str | None:
    text = node.dependencies[number]
    plugin_id, version_range = parse_dependency(text)
    where = f"{node.told}: plugin.yaml dependencies[{number}]"
    other = known.get(plugin_id)
    if other is None:
        return f"{where}: found {text!r}, expected a plugin that has a manifest"
    if not satisfies(other.version, version_range):
        return f"{where}: found {_of(other, other.version)}, expected {version_range}"
    if node.runs and not other.runs:
        return f"{where}: found {_of(other, 'with spec.state stopped')}, expected running"
    return None


def _of(node: Node, what: str) -> str:
    return f"{node.plugin_id} {what} ({node.file})" if node.file else f"{node.plugin_id} {what}"
