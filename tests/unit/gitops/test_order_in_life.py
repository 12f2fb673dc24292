"""Waves, hooks, windows and signatures in a daemon; several daemons on one repository."""

import asyncio
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.engine.base import EngineUnavailable
from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from tests.unit.gitops.house import ADA, GitHouse

INPUT = {
    "type": "object",
    "required": ["revision"],
    "properties": {"revision": {"type": "string", "pattern": "^[0-9a-f]{40}$"}},
}
TOOL = {"name": "check", "description": "Checks.", "input_schema": INPUT}
FUSSY = {**TOOL, "output_schema": {"type": "object", "required": ["ok"]}}
HOOK = {"plugin": "checker", "tool": "check", "input": {"revision": "$revision"}}


def wave(house: GitHouse, plugin_id: str, number: int) -> None:
    path = house.manifests / f"{plugin_id}.yaml"
    path.write_text(path.read_text().replace("metadata:\n", f"metadata:\n  wave: {number}\n"))


async def test_a_wave_begins_once_the_one_before_is_well(house: GitHouse) -> None:
    gate = house.plugin("first").gate = asyncio.Event()
    house.plugin("second")
    wave(house, "second", 2)
    sha = house.repo.commit()
    async with house.follows():
        await house.settled(first=SubState.STARTING)
        await house.rests()
        assert (house.sub_state("second"), house.status.state) == (None, SyncState.PROGRESSING)
        gate.set()
        await house.synced(sha)

        await house.settled(second=SubState.RUNNING)
        assert house.plugins["second"].wave == 2


async def test_a_wave_that_fails_keeps_the_next_from_beginning(house: GitHouse) -> None:
    house.plugin("first")
    house.plugin("second")
    wave(house, "second", 2)
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("first", version="1.1.0")
        house.plugin("second", version="1.1.0")
        wave(house, "second", 2)
        house.broken.add(("first", "1.1.0"))
        sha = house.push()
        await house.time_passes(lambda: sha in house.record.quarantine and not house.record.run)

        assert house.commands.history()[-1]["changed"] == ["first"]
        assert (house.version("first"), house.version("second")) == ("1.0.0", "1.0.0")


async def test_hooks_are_called_before_and_after(house: GitHouse) -> None:
    """The tool takes nothing but a commit's id, which stands in for the words of the input."""
    house.plugin("checker", tools=[TOOL])
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(
        sync={"pre_sync": [HOOK], "post_sync": [{**HOOK, "input": {"revision": "$revision"}}]}
    ):
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        sha = house.push()
        await house.synced(sha)

        assert house.version("one") == "1.1.0"


async def test_a_hook_before_that_fails_holds_the_revision_up_and_is_tried_again(
    house: GitHouse,
) -> None:
    house.plugin("checker", tools=[FUSSY])
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(sync={"pre_sync": [HOOK]}):
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        sha = house.push()
        await house.time_passes(lambda: house.record.attempt and house.record.attempt.tries >= 2)

        assert (house.version("one"), house.status.synced) == ("1.0.0", first)
        assert any("hook checker check: invalid_output" in r for r in house.status.reasons)
        assert sha not in house.record.quarantine


async def test_a_hook_after_that_fails_takes_the_revision_back(house: GitHouse) -> None:
    house.plugin("checker", tools=[TOOL])
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(sync={"post_sync": [HOOK]}):
        await house.synced(first)
        house.plugin("checker", tools=[FUSSY], version="1.1.0")
        house.plugin("one", version="1.1.0")
        sha = house.push()
        await house.time_passes(lambda: sha in house.record.quarantine and not house.record.run)

        assert (house.version("one"), house.version("checker")) == ("1.0.0", "1.0.0")
        assert "hook checker check" in house.record.quarantine[sha]


async def test_outside_of_its_windows_a_revision_waits(house: GitHouse) -> None:
    now = datetime.fromtimestamp(house.clock.now(), tz=UTC)
    house.plugin("one")
    sha = house.repo.commit()
    soon = f"{(now.hour + 1) % 24:02}:00"
    allow = {"kind": "allow", "start": soon, "end": f"{(now.hour + 2) % 24:02}:00"}
    async with house.follows(sync={"windows": [allow]}):
        await house.until(lambda: house.status.head == sha)
        await house.rests()
        assert house.rows == {}
        assert house.status.reasons == (f"{sha[:12]} waits for the next sync window",)
        house.later((60 - now.minute) * 60)
        house.gitops.wake()
        await house.synced(sha)

        assert house.sub_state("one") is not None


async def test_without_auto_a_revision_waits_for_an_operator(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    async with house.follows(sync={"auto": False}):
        await house.until(lambda: house.status.head == sha)
        await house.rests()
        assert house.rows == {}
        house.commands.sync(ADA, prune=False)
        house.later(5)
        await house.synced(sha)

        assert house.commands.history()[-1]["who"] == "ada"


async def test_an_engine_that_does_not_answer_costs_the_revision_no_attempt(
    house: GitHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        whole = house.daemon.manager._knock

        async def silent() -> None:
            raise EngineUnavailable("found nobody")

        monkeypatch.setattr(house.daemon.manager, "_knock", silent)
        house.plugin("one", version="1.1.0")
        sha = house.push()
        await house.until(lambda: house.record.run is not None)
        await house.rests()
        assert house.record.quarantine == {}
        monkeypatch.setattr(house.daemon.manager, "_knock", whole)
        await house.time_passes(lambda: house.status.synced == sha)

        assert house.version("one") == "1.1.0"


async def test_two_orchestrators_on_one_repository_do_not_disturb_each_other(
    house: GitHouse, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    other = GitHouse(tmp_path / "second", house.repo)
    other.images, other.actors = house.images, house.actors
    house.plugin("one")
    first = house.repo.commit()
    before = {str(p): p.stat().st_mtime_ns for p in (house.repo.folder / ".git").rglob("*")}
    async with house.follows(), other.follows():
        await house.synced(first)
        await other.synced(first)
        after = {str(p): p.stat().st_mtime_ns for p in (house.repo.folder / ".git").rglob("*")}
        assert after == before  # nothing is written to the remote, no lock, no object
        other.commands.suspend(ADA)
        house.plugin("one", version="1.1.0")
        second = house.push()
        other.look()
        await house.synced(second)
        await other.rests()
        assert (house.version("one"), other.version("one")) == ("1.1.0", "1.0.0")
        other.commands.resume(ADA)
        other.look()
        await other.synced(second)

        assert other.version("one") == "1.1.0"


# -- signatures ------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(command, check=True, timeout=60)
        return path

    return make


def allow(house: GitHouse, key: Path, who: str = "ada@example.com") -> None:
    public = key.with_suffix(".pub").read_text()
    (house.config.parent / "signers").write_text(f'{who} namespaces="git" {public}')


async def test_only_commits_that_an_allowed_signer_signed_are_taken_up(
    house: GitHouse, key: Callable[[str], Path]
) -> None:
    ada, eve = key("ada"), key("eve")
    allow(house, ada)
    house.plugin("one")
    first = house.repo.commit(sign=str(ada))
    async with house.follows(verify={"require": "commit", "allowed_signers": "signers"}):
        await house.synced(first)
        for sign in ("", str(eve)):
            house.plugin("one", version=f"6.6.{len(sign)}")
            sha = house.repo.commit(sign=sign)
            house.look()
            await house.until(lambda sha=sha: house.record.seen == sha)
            assert (house.version("one"), house.status.synced) == ("1.0.0", first)
            assert "no signature of an allowed signer" in house.record.refused
            assert house.commands.history()[-1]["outcome"] == "refused"
        house.plugin("one", version="1.1.0")
        signed = house.repo.commit(sign=str(ada))
        house.look()
        await house.synced(signed)

        assert house.version("one") == "1.1.0"
        assert house.heard().count("refused") == 2
        await house.whole(SyncState.SYNCED)


async def test_a_signed_tag_is_asked_for_where_the_policy_says_so(
    house: GitHouse, key: Callable[[str], Path]
) -> None:
    ada = key("ada")
    allow(house, ada)
    house.plugin("one")
    first = house.repo.commit()
    signing = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={ada}"]
    house.repo.git("tag", "-a", "-m", "no signature", "live")
    async with house.follows(ref="live", verify={"require": "tag", "allowed_signers": "signers"}):
        await house.whole(SyncState.DEGRADED)
        assert house.rows == {}
        house.repo.git(*signing, "tag", "-f", "-s", "-m", "signed", "live")
        house.look()
        await house.synced(first)

        assert house.version("one") == "1.0.0"


async def test_a_missing_file_of_signers_lets_nobody_in(house: GitHouse) -> None:
    house.plugin("one")
    house.repo.commit()
    async with house.follows(verify={"require": "commit", "allowed_signers": "nowhere"}):
        await house.whole(SyncState.DEGRADED)

        assert "expected a file that names who may sign" in house.record.refused
        assert house.rows == {}
