"""When a remote is looked at, and what of the settings gets it to answer."""

from pathlib import Path

import pytest

from orchestrator.gitops.remote import Remote
from orchestrator.gitops.repository import GitUnreachable
from orchestrator.model.git import GitSource
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader

POLL_SECONDS = 100.0


def remote_of(reader: Reader, folder: Path, *, chance: float = 0.0) -> Remote:
    """`chance` is where between the least and the most everything random falls."""
    return Remote(
        repository=reader.repository,
        trees=reader.trees,
        keys=folder / "keys",
        monotonic=lambda: 1_000.0,
        jitter=lambda least, most: least + chance * (most - least),
    )


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 90.0), (0.5, 100.0), (1.0, 110.0)])
async def test_looks_are_a_tenth_sooner_or_later_so_that_many_do_not_come_at_once(
    reader: Reader, repo: Repo, tmp_path: Path, chance: float, seconds: float
) -> None:
    repo.commit({"a": "1"})
    remote = remote_of(reader, tmp_path, chance=chance)
    await remote.look(GitSource(url=repo.url, poll_seconds=POLL_SECONDS))

    assert remote.due_in == pytest.approx(seconds)


@pytest.mark.parametrize(("chance", "pauses"), [(0.0, [4.5, 9.0]), (1.0, [5.5, 11.0])])
async def test_so_are_the_pauses_of_one_that_does_not_answer(
    reader: Reader, tmp_path: Path, chance: float, pauses: list[float]
) -> None:
    remote = remote_of(reader, tmp_path, chance=chance)
    seen = []
    for _ in pauses:
        with pytest.raises(GitUnreachable):
            await remote.look(GitSource(url=str(tmp_path / "none"), poll_seconds=POLL_SECONDS))
        seen.append(remote.due_in)

    assert seen == pytest.approx(pauses)


async def test_by_itself_no_two_looks_are_apart_alike(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    repo.commit({"a": "1"})
    remote = Remote(
        repository=reader.repository,
        trees=reader.trees,
        keys=tmp_path / "keys",
        monotonic=lambda: 1_000.0,
    )
    seen = set()
    for _ in range(3):
        await remote.look(GitSource(url=repo.url, poll_seconds=POLL_SECONDS))
        seen.add(remote.due_in)

    assert len(seen) == 3
    assert all(90.0 <= seconds <= 110.0 for seconds in seen)
