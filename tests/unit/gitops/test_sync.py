"""Following a repository: what is committed is deployed, what is reverted goes back."""

from pathlib import Path

from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from tests.unit.gitops.house import ADA, GitHouse


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


async def test_one_bad_file_keeps_its_last_good_state_and_the_others_go_on(
    house: GitHouse,
) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("good", version="1.1.0")
        house.plugin("bad", version="1.1.0")
        (house.manifests / "bad.yaml").write_text("apiVersion: orchestrator/v1\nkind: [oops\n")
        second = house.push()
        await house.synced(second)

        assert (house.version("good"), house.version("bad")) == ("1.1.0", "1.0.0")
        await house.states(good="synced", bad="degraded")
        [words] = [r for r in house.status.reasons if "oops" in r or "bad.yaml" in r][:1]
        assert f"commit {second[:12]}: manifests/bad.yaml:" in words
        assert house.commands.history()[-1]["outcome"] == "partly"
        assert house.plugins["bad"].revision == first
        house.plugin("bad", version="1.2.0")
        third = house.push()
        await house.synced(third)
        assert house.version("bad") == "1.2.0"
        await house.whole(SyncState.SYNCED)


async def test_a_plugin_that_policy_refuses_stays_and_the_others_go_on(house: GitHouse) -> None:
    house.plugin("good")
    house.plugin("greedy")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("good", version="1.1.0")
        house.plugin("greedy", spec={"limits": {"max_memory_mb": 999_999}})
        second = house.push()
        await house.synced(second)

        await house.states(good="synced", greedy="degraded")
        assert "max_memory_mb" in house.plugins["greedy"].reason
        assert f"commit {second[:12]}" in house.plugins["greedy"].reason


async def test_a_plugin_in_two_files_is_taken_from_neither(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        text = (house.manifests / "one.yaml").read_text()
        (house.manifests / "again.yaml").write_text(text)
        house.plugin("two", version="1.1.0")
        await house.synced(house.push())

        assert (house.version("one"), house.version("two")) == ("1.0.0", "1.1.0")
        assert "one manifest for each plugin" in house.plugins["one"].reason


async def test_a_file_that_needs_what_is_not_there_holds_up_itself_alone(house: GitHouse) -> None:
    house.plugin("good")
    house.plugin("needy", "nobody")
    async with house.follows():
        sha = house.repo.commit()
        house.look()
        await house.synced(sha)

        await house.states(good="synced", needy="degraded")
        assert "nobody" in house.plugins["needy"].reason


async def test_a_rewritten_branch_is_followed_and_the_deleted_one_takes_nothing_away(
    house: GitHouse,
) -> None:
    house.plugin("one")
    house.repo.commit()
    house.plugin("one", version="1.1.0")
    second = house.repo.commit()
    async with house.follows():
        await house.synced(second)
        house.repo.git("reset", "-q", "--hard", "HEAD~1")
        house.plugin("one", version="1.2.0")
        forced = house.push("Forced")
        await house.synced(forced)
        assert house.version("one") == "1.2.0"
        house.repo.git("checkout", "-q", "-b", "other")
        house.repo.git("branch", "-D", "main")
        house.look()
        await house.whole(SyncState.DEGRADED)

        assert any("found no 'main'" in reason for reason in house.status.reasons)
        assert (house.sub_state("one"), house.plugins["one"].state) == ("running", "synced")
        house.repo.git("checkout", "-q", "-b", "main")
        house.look()
        await house.whole(SyncState.SYNCED)


async def test_a_remote_that_is_away_for_a_while_stops_nothing(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        away = house.repo.folder.rename(house.repo.folder.with_name("away"))
        house.look()
        await house.whole(SyncState.DEGRADED)
        assert any(reason.startswith("the remote: ") for reason in house.status.reasons)
        await house.by_hand("one", version="6.6.6")
        await house.until(lambda: house.version("one") == "1.0.0")  # healed without a remote
        away.rename(house.repo.folder)
        house.plugin("one", version="1.1.0")
        await house.synced(house.push())

        assert house.version("one") == "1.1.0"
        assert house.heard().count("unreachable") == house.heard().count("reached") == 1


async def test_a_hostile_commit_is_refused_and_the_one_before_stays(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        (house.manifests / "link.yaml").symlink_to("/etc/passwd")
        house.push()
        await house.whole(SyncState.DEGRADED)

        assert house.status.synced == house.status.head == first
        assert house.heard()[-1] == "refused"
        assert any("expected one to something in the repository" in r for r in house.status.reasons)
        (house.manifests / "link.yaml").unlink()
        house.plugin("one", version="1.1.0")
        await house.synced(house.push())
        await house.whole(SyncState.SYNCED)


async def test_a_repository_without_manifests_takes_nothing_away(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        (house.manifests / "one.yaml").unlink()
        sha = house.push("Empty")
        await house.whole(SyncState.DEGRADED)

        assert house.status.synced == first
        assert sha in house.record.quarantine
        assert "found no manifests" in house.record.quarantine[sha]
        assert house.sub_state("one") == SubState.RUNNING


# -- what is gone ----------------------------------------------------------------------------------


async def test_what_is_gone_goes_by_itself_where_the_policy_says_so(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        (house.manifests / "two.yaml").unlink()
        await house.synced(house.push())

        assert house.commands.history()[-1]["removed"] == ["two"]
        assert "two" not in house.plugins
        await house.until(lambda: house.sub_state("two") is None)
        await house.whole(SyncState.SYNCED)


async def test_nothing_goes_while_a_file_of_the_revision_cannot_be_read(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        (house.manifests / "two.yaml").rename(house.manifests / "renamed.yaml")
        (house.manifests / "renamed.yaml").write_text("{")
        await house.synced(house.push())

        assert house.plugins["two"].reason == "git no longer has it, and it was not removed"
        assert house.sub_state("two") is SubState.RUNNING


async def test_what_must_be_confirmed_waits_for_it(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "confirm"}):
        await house.synced(first)
        (house.manifests / "two.yaml").unlink()
        second = house.push()
        await house.synced(second)
        assert house.status.prune_waiting == ("two",)
        await house.rests()
        assert house.sub_state("two") is SubState.RUNNING
        house.commands.sync(ADA, prune=True)
        house.later(5)
        await house.until(lambda: "two" not in house.plugins)

        await house.until(lambda: house.sub_state("two") is None)
        assert house.status.prune_waiting == ()


async def test_all_at_once_go_only_when_confirmed_though_pruning_is_automatic(
    house: GitHouse,
) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        for name in ("one", "two"):
            (house.manifests / f"{name}.yaml").unlink()
        house.plugin("other")
        await house.synced(house.push())

        assert house.status.prune_waiting == ("one", "two")
        assert {*house.rows} == {"one", "two", "other"}
        # That there is another by now confirms nothing, nor does a sync without `--prune`.
        house.plugin("other", version="1.1.0")
        sha = house.push()
        await house.synced(sha)
        syncs = house.status.syncs_total
        house.commands.sync(ADA, prune=False)
        house.later(5)
        await house.until(lambda: house.status.syncs_total > syncs)
        assert {*house.rows} == {"one", "two", "other"}
        house.commands.sync(ADA, prune=True)
        house.later(5)
        await house.until(lambda: {*house.rows} == {"other"})
        assert house.status.prune_waiting == ()


async def test_commits_that_never_work_leave_no_files_behind(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(history=2):
        await house.synced(first)
        for number in range(5):
            (house.manifests / "one.yaml").unlink(missing_ok=True)
            (house.manifests / "note.txt").write_text(str(number))
            sha = house.push()
            await house.until(lambda sha=sha: sha in house.record.quarantine)
        trees = house.gitops.remote.trees.folder

        assert len([one for one in trees.iterdir() if one.is_dir()]) <= 4
        assert (trees / first).is_dir()  # what runs came from there
        house.commands.suspend(ADA)
        for number in range(5):
            (house.manifests / "note.txt").write_text(f"again {number}")
            sha = house.push()
            await house.until(lambda sha=sha: house.status.head == sha)
        assert len([one for one in trees.iterdir() if one.is_dir()]) <= 4


async def test_plugins_from_elsewhere_are_left_alone(house: GitHouse, tmp_path: Path) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        await house.by_hand("mine")
        await house.until(lambda: house.sub_state("mine") is SubState.RUNNING)
        house.plugin("one", version="1.1.0")
        await house.synced(house.push())

        assert house.sub_state("mine") is SubState.RUNNING
        assert {*house.plugins} == {"one"}
