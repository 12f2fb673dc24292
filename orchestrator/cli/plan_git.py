"""`orchestrator plan --git`: what a branch would change, as Markdown for a pull request."""

import asyncio
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from orchestrator.cli.chosen_git import git_options
from orchestrator.cli.exits import BY_KIND, CHANGES, OK
from orchestrator.errors import Kind
from orchestrator.gitops.git import Git
from orchestrator.gitops.markdown import markdown
from orchestrator.gitops.reading import GitRevisionEmpty, read_tree
from orchestrator.gitops.repository import GitRepository
from orchestrator.gitops.review import Review, Side, review, side_of
from orchestrator.gitops.tree import GitTrees
from orchestrator.model.environments import EnvironmentUnknown
from orchestrator.model.git import GitSource
from orchestrator.model.load import load_instance_config
from orchestrator.model.policy import SecurityPolicy

DEFAULT_BASE: Final = "main"


def plan_git(
    over: dict[str, str],
    *,
    base: str,
    config: Path | None,
    as_json: bool,
    no_widening: bool,
) -> int:
    """The exit code: 0 nothing, 2 something changes, 65 wrong, 77 wider though that is refused."""
    policy = load_instance_config(config).policy if config is not None else None
    result = asyncio.run(_review(over, base, policy))
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2))
    else:
        click.echo(markdown(result), nl=False)
    if result.troubles:
        return BY_KIND[Kind.INVALID]
    if no_widening and result.widens:
        return BY_KIND[Kind.DENIED]
    return CHANGES if result.plugins else OK


async def _review(over: dict[str, str], base: str, policy: SecurityPolicy | None) -> Review:
    """Both commits are read as a sync reads them; nothing of it is left behind."""
    head = GitSource.model_validate(over, strict=False)
    before = GitSource.model_validate({**over, **git_options(None, base, None)}, strict=False)
    with tempfile.TemporaryDirectory(prefix="orchestrator-plan-") as text:
        folder = Path(text)
        git = Git(home=folder / "home", environment=os.environ)
        repository = GitRepository(git, folder / "repository")
        trees = GitTrees(repository, folder / "trees")
        return review(
            await _side(repository, trees, before, None, may_lack=True),
            await _side(repository, trees, head, policy),
        )


async def _side(
    repository: GitRepository,
    trees: GitTrees,
    source: GitSource,
    policy: SecurityPolicy | None,
    *,
    may_lack: bool = False,
) -> Side:
    """A base may have no manifests yet, or not this environment: then everything is new."""
    ref = await repository.look(source.url, source.ref)
    commit = await repository.fetch(source.url, ref)
    tree = await trees.write(commit.sha)
    try:
        return side_of(commit, read_tree(tree, source), policy)
    except (GitRevisionEmpty, EnvironmentUnknown):
        if not may_lack:
            raise
        return Side(commit=commit, pieces={})
