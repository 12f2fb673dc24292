"""What goes wrong with a repository stops nothing that runs: one story on a real engine.

The remote is looked at once an hour, so all that happens in time is the webhook's doing.
"""

import hashlib
import hmac
import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.forge import Forge
from tests.support.git import Repo
from tests.support.instance import Instance, eventually, new_name

pytestmark = pytest.mark.docker

NAME, OTHER = "e2e-git", "e2e-git-other"
SECRET = b"known to the forge alone"


class Hooked(Forge):
    """It tells the instance of pushes."""

    def hook(self, secret: bytes = SECRET) -> int:
        body = b'{"ref": "refs/heads/main"}'
        digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
        port = eventually(lambda: self.status()["webhook_port"])  # open within a second
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            headers = {"X-Hub-Signature-256": f"sha256={digest}"}
            connection.request("POST", "/v1/gitops/webhook", body=body, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def comes_to(self, sha: str) -> dict[str, Any]:
        assert self.hook() == 202
        return self.synced(sha)

    def says(self, check: Callable[[str], bool]) -> bool:
        """Whether one of the reasons is so, once it was told to look."""
        assert self.hook() == 202
        return bool(eventually(lambda: any(map(check, self.status()["reasons"])), seconds=30))

    def answers(self, name: str = NAME) -> bool:
        return bool(self.instance.call(name, {"said": 1}, tool="echo") == {"said": 1})


def follower(instance: Instance, binary: Path, repo: Repo) -> Hooked:
    secret = instance.folder / "webhook-secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    return Hooked(
        instance,
        binary,
        repo,
        policy={"rollout": {"min_healthy_seconds": 0}},
        git={
            "url": repo.url,
            "poll_seconds": 3_600,
            "sync": {"prune": "confirm"},
            "webhook": {"port": 0, "secret": {"file": str(secret)}},
        },
    )


def test_what_goes_wrong_with_a_repository_stops_nothing(
    instance: Instance, binary: Path, images: None, tmp_path: Path
) -> None:
    forge = follower(instance, binary, Repo(tmp_path / "forge"))
    forge.plugin(NAME)
    forge.plugin(OTHER)
    first = forge.push("First")
    instance.run("up", "--detach", "--wait", timeout=120)
    assert forge.status()["synced"] == first

    who_has_another_secret_tells_nothing(forge, first)
    one_bad_file_holds_up_itself_alone(forge)
    a_rewritten_branch_is_followed(forge)
    a_hostile_commit_and_a_huge_one_are_refused(forge)
    a_remote_that_is_away_comes_back(forge)
    a_deleted_branch_takes_nothing_away(forge)
    what_is_gone_waits_until_that_is_confirmed(forge)
    two_may_follow_one_repository(forge, binary, tmp_path / "second")
    an_empty_repository_takes_nothing_away(forge)


def who_has_another_secret_tells_nothing(forge: Hooked, first: str) -> None:
    looked_at = forge.status()["looked_at"]
    assert forge.hook(b"guessed by a stranger") == 403
    assert (forge.status()["head"], forge.status()["looked_at"]) == (first, looked_at)


def one_bad_file_holds_up_itself_alone(forge: Hooked) -> None:
    forge.plugin(NAME, memory=48)
    forge.repo.write({f"manifests/{OTHER}.yaml": "apiVersion: orchestrator/v1\nkind: [oops\n"})
    bad = forge.push("Half of it is bad")
    status = forge.comes_to(bad)
    told = [why for why in status["reasons"] if f"manifests/{OTHER}.yaml:" in why]
    assert (forge.memory_mb(NAME), forge.memory_mb(OTHER)) == (48, 32)
    assert f"commit {bad[:12]}: manifests/{OTHER}.yaml:" in told[0]
    assert forge.answers(OTHER)


def a_rewritten_branch_is_followed(forge: Hooked) -> None:
    forge.repo.git("reset", "-q", "--hard", "HEAD~1")
    forge.plugin(NAME, memory=40)
    forge.comes_to(forge.push("Forced"))
    assert forge.memory_mb(NAME) == 40
    assert forge.status()["state"] == "synced"


def a_hostile_commit_and_a_huge_one_are_refused(forge: Hooked) -> None:
    """Files of the host by a link, and more files than `git.max_files`."""
    good = forge.repo.head
    (forge.repo.folder / "manifests" / "link.yaml").symlink_to("/etc/passwd")
    forge.push("A link out of it")
    assert forge.says(lambda why: "link.yaml" in why and "expected one to something in" in why)
    assert (forge.memory_mb(NAME), forge.answers()) == (40, True)
    forge.repo.git("reset", "-q", "--hard", good)
    forge.repo.write({f"many/{number}": "" for number in range(10_001)})
    forge.push("More files than anybody needs")
    assert forge.says(lambda why: "expected at most 10000" in why)
    assert (forge.memory_mb(NAME), forge.answers()) == (40, True)
    forge.repo.git("reset", "-q", "--hard", good)
    forge.comes_to(good)


def a_remote_that_is_away_comes_back(forge: Hooked) -> None:
    away = forge.repo.folder.rename(forge.repo.folder.with_name("away"))
    assert forge.says(lambda why: why.startswith("the remote: "))
    assert forge.status()["state"] == "degraded"
    assert forge.answers()
    away.rename(forge.repo.folder)
    forge.plugin(NAME, memory=44)
    forge.comes_to(forge.push("Back"))
    assert forge.memory_mb(NAME) == 44


def a_deleted_branch_takes_nothing_away(forge: Hooked) -> None:
    forge.repo.git("checkout", "-q", "-b", "other")
    forge.repo.git("branch", "-D", "main")
    assert forge.says(lambda why: "found no 'main'" in why)
    assert forge.answers()
    forge.repo.git("checkout", "-q", "-b", "main")
    assert forge.hook() == 202
    eventually(lambda: forge.stands("synced"), seconds=30)


def what_is_gone_waits_until_that_is_confirmed(forge: Hooked) -> None:
    forge.repo.write({f"manifests/{OTHER}.yaml": None})
    status = forge.comes_to(forge.push("One less"))
    assert status["prune_waiting"] == [OTHER]
    assert forge.answers(OTHER)
    forge.instance.run("gitops", "sync", "--prune", "--wait")
    eventually(lambda: OTHER not in forge.instance.containers(), seconds=30)
    assert forge.status()["prune_waiting"] == []


def two_may_follow_one_repository(forge: Hooked, binary: Path, folder: Path) -> None:
    second = Instance(folder, new_name())
    other = follower(second, binary, forge.repo)
    before = forge.repo.git("for-each-ref"), forge.instance.containers()
    try:
        second.run("up", "--detach", "--wait", timeout=120)
        assert (other.status()["synced"], other.memory_mb(NAME)) == (forge.repo.head, 44)
        assert other.answers()
        assert (forge.repo.git("for-each-ref"), forge.instance.containers()) == before
    finally:
        second.destroy()
        left = second.left_over()
        second.purge()
    assert left == []
    assert forge.answers()


def an_empty_repository_takes_nothing_away(forge: Hooked) -> None:
    forge.repo.write({f"manifests/{NAME}.yaml": None})
    forge.repo.write({"manifests/.keep": ""})
    forge.push("Nothing left")
    forge.hook()
    eventually(lambda: forge.status()["head"] == forge.repo.head, seconds=30)
    assert forge.status()["state"] != "synced"
    assert forge.answers()
