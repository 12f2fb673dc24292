"""What `gitops diff` shows: git, what is wanted and what runs, where they are not one."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.gitops.difference import compare, flat
from tests.unit.gitops.house import GitHouse

SIDES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, 1, "x"]))


async def fields(house: GitHouse, name: str) -> dict[str, tuple[Any, Any, Any]]:
    for plugin in await house.commands.diff():
        if plugin["plugin_id"] == name:
            rows = plugin["fields"]
            assert isinstance(rows, tuple | list)
            return {r["field"]: (r["git"], r["desired"], r["live"]) for r in rows}  # type: ignore[index,call-overload]
    return {}


async def test_where_all_is_synced_there_is_no_difference(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    async with house.follows():
        await house.synced(sha)
        await house.all_run()

        assert await house.commands.diff() == []


async def test_a_change_by_hand_shows_against_git(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    async with house.follows(sync={"self_heal": False}):
        await house.synced(sha)
        await house.by_hand("one", spec={"limits": {"max_memory_mb": 64}})
        await house.until(lambda: house.rows["one"].settled)
        found = await fields(house, "one")

        assert found["limits.max_memory_mb"] == (32, 64, 64)
        assert found["container.memory_bytes"] == (32 << 20, 64 << 20, 64 << 20)


async def test_a_revision_that_waits_shows_before_it_is_taken_up(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    async with house.follows(sync={"auto": False}):
        await house.until(lambda: house.status.head == sha)
        found = await fields(house, "one")

        assert found["version"] == ("1.0.0", None, None)
        assert house.rows == {}


async def test_a_plugin_that_was_gone_back_from_shows_what_runs_instead(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        house.broken.add(("one", "1.1.0"))
        sha = house.push()
        await house.time_passes(lambda: sha in house.record.quarantine and not house.record.run)
        found = await fields(house, "one")

        assert found["version"] == ("1.1.0", "1.0.0", "1.0.0")


async def test_what_git_no_longer_has_is_named(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        await house.all_run()
        (house.manifests / "two.yaml").unlink()
        await house.synced(house.push())
        [row] = await house.commands.diff()

        assert (row["plugin_id"], row["words"], row["fields"]) == (
            "two",
            "git does not have it",
            (),
        )


def test_leaves_are_named_by_their_path() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "d": [1]}


@given(SIDES, SIDES, SIDES)
def test_a_field_is_shown_exactly_where_the_three_are_not_one(
    git: dict[str, Any], desired: dict[str, Any], live: dict[str, Any]
) -> None:
    shown = {row.field for row in compare(git, desired, live)}

    for field in {*git, *desired, *live}:
        values = {repr(git.get(field)), repr(desired.get(field)), repr(live.get(field))}
        assert (field in shown) == (len(values) > 1)
