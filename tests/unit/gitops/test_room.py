"""What all commits together take of a disk; and coming back to one whose files are gone."""

import shutil
from pathlib import Path

import pytest

from orchestrator.gitops.entries import GitTreeRefused, TreeBounds, disk_bytes
from orchestrator.gitops.tree import GitTrees
from orchestrator.model.gitops import SyncState
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader
from tests.unit.gitops.house import ADA, GitHouse

MIB = 1 << 20


def on_disk(house: GitHouse) -> set[str]:
    """The commits whose files are there."""
    folder = house.gitops.remote.trees.folder
    return {path.name for path in folder.iterdir() if path.is_dir()}


async def three_commits(house: GitHouse) -> list[str]:
    """Each is taken up; the first is there already."""
    commits = [house.repo.head]
    for version in ("1.1.0", "1.2.0"):
        house.plugin("one", version=version)
        commits.append(house.push())
        await house.synced(commits[-1])
    return commits


async def test_only_what_is_in_use_has_its_files_on_disk(house: GitHouse) -> None:
    (house.manifests / "large").write_bytes(b"x" * MIB)
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(trees_mb=4):
        await house.synced(first)
        *_, last = await three_commits(house)
        for number in range(6):
            house.repo.write({"README.md": f"{number}"})
            last = house.push()
            await house.synced(last)

        # Beside it those of revisions that an operator could undo to, while there is room.
        assert last in on_disk(house)
        assert len(on_disk(house)) <= 3
        house.gitops.runner.clear_away()
        assert last in on_disk(house)
    assert len(house.record.history) == 9


async def test_commits_that_never_work_leave_nothing(house: GitHouse) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("bad", version="1.1.0")
        house.broken.add(("bad", "1.1.0"))
        sha = house.push()
        await house.time_passes(lambda: sha in house.record.quarantine and not house.record.run)
        house.plugin("bad")
        fixed = house.push()
        await house.synced(fixed)

        assert sha not in on_disk(house)


@pytest.mark.parametrize("lost", ["the files", "git's objects too"])
async def test_what_is_gone_back_to_is_checked_out_or_fetched_again(
    house: GitHouse, lost: str
) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        await three_commits(house)
        shutil.rmtree(house.gitops.remote.trees.folder / first, ignore_errors=True)
        if lost != "the files":
            shutil.rmtree(house.settings.folder / "git" / "repository")
        house.commands.rollback(ADA, first[:8])
        await house.synced(first)

        assert house.version("one") == "1.0.0"
        assert first in on_disk(house)


async def test_what_nobody_has_any_more_is_refused_and_what_runs_stays(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        *_, last = await three_commits(house)
        shutil.rmtree(house.gitops.remote.trees.folder / first, ignore_errors=True)
        shutil.rmtree(house.settings.folder / "git" / "repository")
        house.repo.git("checkout", "-q", "--orphan", "anew")
        house.repo.git("commit", "-q", "-m", "Anew")
        house.repo.git("branch", "-D", "main")
        house.repo.git("reflog", "expire", "--expire=now", "--all")
        house.repo.git("gc", "-q", "--prune=now")
        house.commands.rollback(ADA, first[:8])
        await house.until(lambda: first in house.record.quarantine and not house.record.run)

        assert (
            f"found no commit {first}, expected it in the remote" in house.record.quarantine[first]
        )
        assert (house.version("one"), house.status.synced) == ("1.2.0", last)


async def test_a_commit_for_which_there_is_no_room_beside_what_is_in_use_is_refused(
    house: GitHouse,
) -> None:
    """Each plugin could be left at a commit of its own, each with as much as one may hold."""
    house.plugin("one")
    house.plugin("two")
    house.repo.write({"large": "x" * MIB})
    first = house.repo.commit()
    async with house.follows(trees_mb=3, max_mb=2):
        await house.synced(first)
        house.plugin("two", version="1.1.0")
        (house.manifests / "one.yaml").write_text("broken")
        second = house.push()
        await house.synced(second)
        (house.manifests / "two.yaml").write_text("broken")
        third = house.push()
        await house.until(lambda: house.record.seen == third)

        assert house.status.state is SyncState.DEGRADED
        assert "in all (git.trees_mb)" in house.record.refused
        assert {first, second} == on_disk(house)
        assert (house.version("one"), house.version("two")) == ("1.0.0", "1.1.0")
        house.plugin("one")
        house.plugin("two")
        house.repo.write({"large": None})
        fourth = house.push()
        await house.synced(fourth)
        await house.whole(SyncState.SYNCED)
        assert fourth in on_disk(house)


def test_an_empty_file_takes_a_block_too() -> None:
    assert disk_bytes([0, 1, 4_096, 4_097]) == 5 * 4_096


async def test_what_is_spare_stays_while_there_is_room_the_first_before_the_others(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    trees = GitTrees(
        reader.repository, tmp_path / "trees", lambda: TreeBounds(all_bytes=3 * MIB + 50_000)
    )
    shas = []
    for number in range(3):
        repo.commit({"large": f"{number}" * MIB})
        shas.append((await reader.fetch(repo.url)).sha)
        await trees.write(shas[-1])
    trees.keep({shas[0]}, [shas[2], shas[1]])
    assert all(trees.find(sha) for sha in shas)
    repo.commit({"large": "x" * (2 * MIB)})
    sha = (await reader.fetch(repo.url)).sha
    with pytest.raises(GitTreeRefused, match=r"git\.trees_mb"):
        await trees.write(sha)
    assert not any((tmp_path / "trees").glob(".new-*"))
    trees.make_room = lambda: trees.keep({shas[0]})
    await trees.write(sha)

    assert [trees.find(sha) is not None for sha in shas] == [True, False, False]
    trees.keep({sha}, [shas[0]])
    assert trees.find(shas[0]) is not None


async def test_a_link_to_nothing_is_named_in_the_log_and_the_rest_is_taken_up(
    house: GitHouse, caplog: pytest.LogCaptureFixture
) -> None:
    house.plugin("one")
    (house.repo.folder / "old").symlink_to("nowhere")
    sha = house.repo.commit()
    async with house.follows():
        await house.synced(sha)

        assert house.version("one") == "1.0.0"
    assert f"git {sha[:12]}: links to nothing are left out: old" in caplog.text
