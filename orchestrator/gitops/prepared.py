"""Prepared: a commit made ready to be taken up: read, decided, put in order. Nothing is changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError
from orchestrator.gitops.git import GitFailed
from orchestrator.gitops.reading import is_passing, read_file, read_tree, trouble
from orchestrator.gitops.repository import Commit
from orchestrator.gitops.state import Applied, Trouble
from orchestrator.gitops.steps import Course
from orchestrator.gitops.tree import GitTree, GitTrees
from orchestrator.gitops.waves import Placed, in_waves
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.manager import PluginManager
from orchestrator.model.git import GitSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a commit comes to, on this machine."""

    commit: Commit
    deployments: Mapping[str, Deployment]
    files: Mapping[str, str]
    """Plugin → its manifest in the repository."""
    all_files: frozenset[str]
    troubles: tuple[Trouble, ...]
    passing: bool
    """Whether one of the troubles may pass by itself."""
    course: Course
    submodules: tuple[str, ...]

    def wave_of(self, name: str) -> int:
        return self.deployments[name].inputs.manifest.metadata.wave

    def gone(self, applied: Mapping[str, Applied]) -> tuple[str, ...]:
        """Plugins that git made and that the commit no longer has; one of a bad file is there."""
        here = {*self.files, *(name for name, it in applied.items() if it.file in self.all_files)}
        return tuple(sorted(applied.keys() - here))


async def prepare(
    commit: Commit, trees: GitTrees, source: GitSource, manager: PluginManager
) -> Prepared:
    """Raises GitRevisionEmpty, GitTreeRefused, GitFailed and their kin, EngineUnavailable."""
    tree = await trees.write(commit.sha)
    reading = await asyncio.to_thread(read_tree, tree, source)  # a stranger's files: many, large
    files = [*reading.manifests]
    found = await manager.resolve([reading.manifests[file] for file in files])
    deployments: dict[str, Deployment] = {}
    names: dict[str, str] = {}
    troubles, passing = [*reading.troubles], False
    for file, result in zip(files, found, strict=True):
        name = reading.manifests[file].manifest.metadata.name
        names[name] = file
        if isinstance(result, OrchestratorError):
            troubles.append(trouble(tree, file, name, result))
            passing = passing or is_passing(result)
        else:
            deployments[name] = result
    placed = {
        name: Placed(wave=one.inputs.manifest.metadata.wave, needs=one.dependencies)
        for name, one in deployments.items()
    }
    sync = source.sync
    return Prepared(
        commit=commit,
        deployments=deployments,
        files=names,
        all_files=reading.files,
        troubles=tuple(troubles),
        passing=passing,
        course=Course(
            waves=in_waves(placed),
            pre_sync=len(sync.pre_sync),
            post_sync=len(sync.post_sync),
            wave_deadline_seconds=sync.wave_deadline_seconds,
        ),
        submodules=tree.submodules,
    )


async def as_applied(
    plugins: Mapping[str, Applied], trees: GitTrees, source: GitSource, manager: PluginManager
) -> tuple[dict[str, Deployment], dict[str, OrchestratorError]]:
    """Plugins as git once made them wanted, each from the commit it came with; or why not.

    Raises EngineUnavailable.
    """
    good: dict[str, Deployment] = {}
    bad: dict[str, OrchestratorError] = {}
    for name, applied in plugins.items():
        try:
            tree: GitTree = await trees.write(applied.sha)
            [result] = await manager.resolve([read_file(tree, applied.file, source)])
        except OrchestratorError as error:
            # A commit that git holds no more is nobody's passing trouble.
            if is_passing(error) and not isinstance(error, GitFailed):
                raise
            result = error
        if isinstance(result, OrchestratorError):
            bad[name] = result
        else:
            good[name] = result
    return good, bad
