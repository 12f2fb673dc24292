"""Our own copy of what was fetched: whatever becomes of it, it is in the way once at most."""

from pathlib import Path

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.gitops.repository import MAX_CACHE_FILES, GitUnreachable
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader, make_reader


async def test_a_cache_of_too_many_small_files_begins_anew(repo: Repo, tmp_path: Path) -> None:
    reader = make_reader(tmp_path)
    repo.commit({"a": "1"})
    await reader.fetch(repo.url)
    junk = tmp_path / "repository" / "sha1" / "objects" / "junk"
    junk.mkdir()
    for number in range(MAX_CACHE_FILES):
        (junk / str(number)).touch()

    await reader.fetch(repo.url)

    assert not junk.exists()


@pytest.mark.parametrize("lock", ["shallow.lock", "refs/orchestrator/wanted.lock"])
async def test_a_lock_that_a_killed_git_left_is_in_the_way_once(
    reader: Reader, repo: Repo, tmp_path: Path, lock: str
) -> None:
    repo.commit({"a": "1"})
    await reader.read(repo.url)
    second = repo.commit({"a": "2"})
    (tmp_path / "repository" / "sha1" / lock).write_bytes(b"")
    with pytest.raises(GitUnreachable, match="lock"):
        await reader.fetch(repo.url)
    assert (await reader.fetch(repo.url)).sha == second


async def test_a_cache_that_is_damaged_begins_anew(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    sha = repo.commit({"a": "1"})
    await reader.fetch(repo.url)
    for file in (tmp_path / "repository" / "sha1" / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            file.write_bytes(b"")
    with pytest.raises(OrchestratorError):
        await reader.read(repo.url)
    assert (await reader.read(repo.url)).sha == sha
