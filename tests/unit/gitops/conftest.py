"""Repositories and what reads them, each in a folder of the test's own."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from orchestrator.gitops.entries import TreeBounds
from orchestrator.gitops.git import Git, GitBounds
from orchestrator.gitops.repository import Commit, GitRepository
from orchestrator.gitops.tree import GitTree, GitTrees
from tests.support.git import Repo
from tests.unit.gitops.house import GitHouse


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The daemon's loop; what talks to git runs on both, as pipes differ."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "uvloop": uvloop.new_event_loop
    }
    if "test_repository" in item.nodeid:
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@dataclass(frozen=True, slots=True)
class Reader:
    """What the daemon reads repositories with."""

    git: Git
    repository: GitRepository
    trees: GitTrees

    async def fetch(self, url: str, ref: str = "main") -> Commit:
        return await self.repository.fetch(url, await self.repository.look(url, ref))

    async def read(self, url: str, ref: str = "main") -> GitTree:
        return await self.trees.write((await self.fetch(url, ref)).sha)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return make_reader(tmp_path)


def make_reader(
    folder: Path, *, bounds: GitBounds | None = None, trees: TreeBounds | None = None
) -> Reader:
    git = Git(home=folder / "home", environment=os.environ, bounds=bounds)
    repository = GitRepository(git, folder / "repository")
    return Reader(
        git, repository, GitTrees(repository, folder / "trees", lambda: trees or TreeBounds())
    )


@pytest.fixture
def house(tmp_path: Path) -> GitHouse:
    return GitHouse(tmp_path)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "remote")


@pytest.fixture
def new_repo(tmp_path: Path) -> Callable[[str], Repo]:
    return lambda name: Repo(tmp_path / name)
