"""What an operator says while a repository is followed holds at once, not with a next commit."""

from tests.unit.gitops.house import ADA, GitHouse
from tests.unit.gitops.test_environments import memory, patch


async def test_another_environment_is_taken_up_without_a_new_commit(house: GitHouse) -> None:
    house.plugin("one")
    patch(house, "one", limits={"max_memory_mb": 48})
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        before = memory(house, "one")
        await house.commands.follow(ADA, house.config, {"environment": "prod"})
        await house.until(lambda: memory(house, "one") == 48)

        assert before == 32
        await house.synced(first)


async def test_what_another_file_of_settings_allows_is_taken_up_without_a_new_commit(
    house: GitHouse,
) -> None:
    allowed = house.repo.folder.parent / "allowed"
    allowed.mkdir()
    (allowed / "token").write_text("not-to-be-told")
    house.plugin("one")
    spec = {"secrets": {"token": {"file": str(allowed / "token")}}}
    house.plugin("two", secrets=["token"], spec=spec)
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        refused = {*house.rows}
        house.git(files=[str(allowed)])
        await house.commands.follow(ADA, house.config, {})
        await house.until(lambda: "two" in house.rows)

        assert refused == {"one"}
        await house.synced(first)
        assert not house.record.troubles


async def test_to_be_told_the_same_again_changes_nothing(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        await house.commands.follow(ADA, house.config, {})
        await house.rests()

        assert house.status.syncs_total == 1


async def test_an_operator_goes_back_while_a_bad_revision_is_still_tried(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        house.broken.add(("one", "1.1.0"))
        second = house.push("Bad")
        await house.until(lambda: house.record.run and house.record.run.submitted)
        house.commands.rollback(ADA, first[:12])
        await house.until(lambda: house.record.run is None or house.record.run.commit.sha == first)
        await house.synced(first)

        assert house.version("one") == "1.0.0"
        assert "rolled back by ada" in house.record.quarantine[second]
        assert [row["outcome"] for row in house.commands.history()] == ["synced", "synced"]
