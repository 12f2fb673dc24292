"""Submodules, where they are allowed: from the same place, bounded, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.gitops.address import GitUrlRefused
from orchestrator.gitops.entries import GitTreeRefused, TreeBounds
from orchestrator.gitops.git import NO_CREDENTIALS, GitCredentials
from orchestrator.gitops.repository import GitUnreachable
from orchestrator.gitops.submodules import (
    GitSubmoduleRefused,
    Submodules,
    submodule_url,
    submodule_urls,
)
from orchestrator.model.git import GitSource
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader

PARENT = "https://git.example.com/team/plugins.git"


@contextmanager
def nobody(_: GitSource) -> Iterator[GitCredentials]:
    yield NO_CREDENTIALS


def allow(reader: Reader, repo: Repo, folder: Path, bounds: TreeBounds | None = None) -> None:
    source = GitSource(url=repo.url, submodules=True)
    reader.trees.fill_in = Submodules(
        reader.git,
        folder / "submodules",
        source=lambda: source,
        credentials=nobody,
        bounds=lambda: bounds or TreeBounds(),
    ).fill


def link(repo: Repo, sha: str, url: str, path: str = "lib/other") -> None:
    repo.write({".gitmodules": f'[submodule "x"]\n\tpath = {path}\n\turl = {url}\n'})
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    repo.git("commit", "-q", "-m", "submodule")


@pytest.mark.parametrize("absolute", [False, True])
async def test_a_submodule_of_the_same_place_is_fetched(
    reader: Reader, repo: Repo, tmp_path: Path, *, absolute: bool
) -> None:
    other = Repo(tmp_path / "other")
    sha = other.commit({"file": "1"})
    other.commit({"file": "2"})
    repo.commit({"a": "1", "lib/here": "1"})
    link(repo, sha, other.url if absolute else "../other")
    allow(reader, repo, tmp_path)

    tree = await reader.read(repo.url)

    assert (tree.folder / "lib" / "other" / "file").read_text() == "1"
    assert not (tree.folder / "lib" / "other" / ".git").exists()
    assert tree.submodules == ()


async def test_nothing_is_kept_of_submodules_that_are_gone(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    allow(reader, repo, tmp_path)
    for name in ("other", "third", "fourth"):
        other = Repo(tmp_path / name)
        link(repo, other.commit({"file": name}), f"../{name}")
        await reader.read(repo.url)

    kept = {one.name for one in (tmp_path / "submodules").iterdir()} - {"trees"}
    assert len(kept) == 1


async def test_one_that_lies_elsewhere_refuses_the_commit(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    (tmp_path / "private").mkdir()
    private = Repo(tmp_path / "private" / "secret")
    sha = private.commit({"secret": "1"})
    repo.commit({"a": "1"})
    link(repo, sha, private.url)
    allow(reader, repo, tmp_path)

    with pytest.raises(GitSubmoduleRefused, match="expected one where"):
        await reader.read(repo.url)

    assert not any(path.is_dir() for path in (tmp_path / "trees").glob("*"))


async def test_its_bounds_and_its_links_are_those_of_any_tree(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    other = Repo(tmp_path / "other")
    many = other.commit({f"f{number}": "1" for number in range(20)})
    repo.commit({"a": "1"})
    link(repo, many, "../other")
    allow(reader, repo, tmp_path, TreeBounds(max_files=10))
    with pytest.raises(GitTreeRefused, match="expected at most 10"):
        await reader.read(repo.url)
    (other.folder / "out").symlink_to("../../a")
    link(repo, other.commit(), "../other")
    allow(reader, repo, tmp_path)
    with pytest.raises(GitTreeRefused, match="a link to"):
        await reader.read(repo.url)


async def test_a_submodule_that_nothing_explains_refuses_the_commit(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    sha = repo.commit({"a": "1"})
    link(repo, sha, "../other", path="one")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{sha},two")
    repo.git("commit", "-q", "-m", "two")
    allow(reader, repo, tmp_path)

    with pytest.raises((GitSubmoduleRefused, GitUnreachable)):
        await reader.read(repo.url)


@pytest.mark.parametrize(
    ("url", "parent", "full"),
    [
        ("../other.git", PARENT, "https://git.example.com/team/other.git"),
        ("../../apps/x.git", PARENT, "https://git.example.com/apps/x.git"),
        ("https://git.example.com/x/y.git", PARENT, "https://git.example.com/x/y.git"),
        ("../other.git", "git@git.example.com:team/x.git", "git@git.example.com:team/other.git"),
        ("../other", "/srv/git/plugins", "/srv/git/other"),
        ("../other", "file:///srv/git/plugins", "file:///srv/git/other"),
    ],
)
def test_a_url_is_understood_as_git_does(url: str, parent: str, full: str) -> None:
    assert submodule_url(url, parent, "x") == full


@pytest.mark.parametrize(
    ("url", "parent"),
    [
        ("https://evil.example.com/x.git", PARENT),
        ("https://git.example.com:444/x.git", PARENT),
        ("http://127.0.0.1/x.git", PARENT),
        ("file:///srv/git/x", PARENT),
        ("/srv/git/x", PARENT),
        ("git@git.example.com:x.git", PARENT),
        ("ext::sh -c touch", PARENT),
        ("-u./payload", PARENT),
        ("", PARENT),
        ("../../../../x", "git@git.example.com:team/x.git"),
        ("../../etc/x", "/srv/git/plugins"),
        ("/root/private", "/srv/git/plugins"),
    ],
)
def test_a_url_to_another_place_is_refused(url: str, parent: str) -> None:
    with pytest.raises((GitSubmoduleRefused, GitUrlRefused)):
        submodule_url(url, parent, "x")


def test_settings_are_read_by_path() -> None:
    rows = b"submodule.a.b.path\nlib/x\0submodule.a.b.url\n../x\0submodule.c.path\nonly\0other\n"

    assert submodule_urls(rows) == {"lib/x": "../x"}
