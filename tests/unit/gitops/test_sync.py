"""Following a repository: what is committed is deployed, what is reverted goes back."""

from pathlib import Path

import pytest

from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from tests.unit.gitops.house import GitHouse


@pytest.fixture
def house(tmp_path: Path) -> GitHouse:
    return GitHouse(tmp_path)


async def test_what_is_committed_is_deployed_and_what_is_reverted_goes_back(
    house: GitHouse,
) -> None:
    house.plugin("one")
    first = house.repo.commit(subject="First")
    async with house.follows():
        await house.synced(first)
        await house.settled(one=SubState.RUNNING)
        assert (house.status.state, house.version("one")) == (SyncState.SYNCED, "1.0.0")
        house.plugin("one", version="1.1.0")
        house.plugin("two")
        second = house.push("Second")
        await house.synced(second)
        assert house.version("one") == "1.1.0"
        await house.settled(one=SubState.RUNNING, two=SubState.RUNNING)
        house.repo.git("revert", "--no-edit", "HEAD")
        house.look()
        await house.synced(house.repo.head)
        assert house.version("one") == "1.0.0"

        assert house.plugins["two"].state is SyncState.OUT_OF_SYNC  # prune is never
        assert house.sub_state("two") is SubState.RUNNING
        rows = house.commands.history()
        assert [(r["subject"], r["outcome"], r["added"], r["changed"]) for r in rows] == [
            ("First", "synced", ["one"], []),
            ("Second", "synced", ["two"], ["one"]),
            ('Revert "Second"', "synced", [], ["one"]),
        ]
        assert house.heard() == ["started", "synced"] * 3
