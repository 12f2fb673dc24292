"""A git repository that is followed, on a real engine: one story, as an operator would see it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.forge import Forge, manifest
from tests.support.git import Repo
from tests.support.instance import Instance, engine, eventually
from tests.support.prometheus import Prometheus, free_ports, plain, prometheus, until
from tests.unit.grafana.boards import BOARDS, RULES, expressions, load, named_metrics

pytestmark = pytest.mark.docker

NAME, OTHER = "e2e-git", "e2e-git-other"


@pytest.fixture
def watched(
    instance: Instance, binary: Path, images: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Forge, Prometheus]]:
    folder, at = tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{free_ports(1)[0]}"
    repo = Repo(instance.folder / "forge")
    made = Forge(
        instance,
        binary,
        repo,
        policy={"rollout": {"min_healthy_seconds": 0}},
        git={"url": repo.url, "poll_seconds": 1},
        monitoring={"listen": at},
    )
    with prometheus(folder, target=at, instance=instance.name) as looks_on:
        yield made, looks_on


def test_a_repository_is_followed(watched: tuple[Forge, Prometheus]) -> None:
    forge, looks_on = watched
    instance = forge.instance
    forge.plugin(NAME)
    forge.plugin(OTHER)
    first = forge.push("First")
    instance.run("up", "--detach", "--wait", timeout=120)
    assert forge.status()["synced"] == first
    assert instance.call(NAME, {"said": 1}, tool="echo") == {"said": 1}

    second = a_commit_is_deployed(forge)
    what_somebody_changed_is_set_back(forge)
    mended = a_bad_revision_goes_back_and_the_next_is_deployed(forge, second)
    what_is_taken_back_goes_back(forge, mended)
    all_of_it_is_remembered(forge)
    the_boards_and_the_alerts_saw_it(looks_on)


def a_commit_is_deployed(forge: Forge) -> str:
    forge.plugin(NAME, memory=48)
    sha = forge.push("More memory")
    assert forge.synced(sha)["state"] == "synced"
    assert forge.memory_mb(NAME) == 48
    return sha


def what_somebody_changed_is_set_back(forge: Forge) -> None:
    """What is wanted, and the container itself."""
    instance = forge.instance
    text = manifest(NAME, str(forge.repo.folder / "plugins" / NAME), 64)
    (instance.manifests / "by-hand.yaml").write_text(text)
    instance.run("up", "--detach", str(instance.manifests))
    eventually(
        lambda: forge.status()["heals_total"] >= 1 and forge.memory_mb(NAME) == 48, seconds=60
    )
    gone = instance.containers()[NAME]
    with engine() as client:
        client.remove_container(gone, force=True)
    eventually(lambda: instance.containers().get(NAME, gone) != gone, seconds=30)


def a_bad_revision_goes_back_and_the_next_is_deployed(forge: Forge, good: str) -> str:
    forge.plugin(NAME, memory=44, entry="nothing-of-that-name")
    forge.plugin(OTHER, memory=80)
    bad = forge.push("Bad")
    status = eventually(lambda: forge.stands("degraded"), seconds=60)
    assert (status["wanted"], status["synced"]) == (bad, good)
    assert (forge.memory_mb(NAME), forge.memory_mb(OTHER)) == (48, 32)
    assert forge.instance.call(NAME, {"said": 2}, tool="echo") == {"said": 2}
    forge.plugin(NAME, memory=40)
    mended = forge.push("Mended")
    forge.synced(mended)
    assert (forge.memory_mb(NAME), forge.memory_mb(OTHER)) == (40, 80)
    return mended


def what_is_taken_back_goes_back(forge: Forge, mended: str) -> None:
    """In the repository, and by an operator."""
    forge.repo.git("revert", "--no-edit", "HEAD", "HEAD~1")
    forge.synced(forge.repo.head)
    assert (forge.memory_mb(NAME), forge.memory_mb(OTHER)) == (48, 32)
    forge.instance.run("gitops", "rollback", "--to", mended[:10], "--wait")
    assert forge.status()["synced"] == mended
    assert (forge.memory_mb(NAME), forge.memory_mb(OTHER)) == (40, 80)


def all_of_it_is_remembered(forge: Forge) -> None:
    rows = json.loads(forge.instance.run("gitops", "history", "--json").stdout)
    assert [(row["subject"], row["outcome"]) for row in rows][:4] == [
        ("First", "synced"),
        ("More memory", "synced"),
        ("Bad", "failed"),
        ("Mended", "synced"),
    ]
    assert rows[-1]["who"] != "gitops"
    diff = json.loads(forge.instance.run("gitops", "diff", "--json").stdout)
    fields = {(p["plugin_id"], f["field"]): f for p in diff for f in p["fields"]}
    memory = fields[NAME, "limits.max_memory_mb"]
    assert (memory["git"], memory["desired"], memory["live"]) == (48, 40, 40)
    audit = json.loads(forge.instance.run("audit", "--type", "git_sync", "--json").stdout)
    assert {row["outcome"] for row in audit} >= {"done", "failed"}


def the_boards_and_the_alerts_saw_it(looks_on: Prometheus) -> None:
    asked = {
        f"{board.stem}: {where}": plain(expression, NAME)
        for board in BOARDS
        for where, expression in expressions(load(board.name))
        if "orchestrator_gitops_" in expression
    }
    rules = [rule for path in RULES for rule in yaml.safe_load(path.read_text())["groups"]]
    for name in {n for group in rules for r in group["rules"] for n in named_metrics(r["expr"])}:
        if name.startswith("orchestrator_gitops_"):
            asked[f"alerts: {name}"] = name

    def silent() -> list[str]:
        ask = looks_on.query
        return [w for w, it in asked.items() if not ask(f"max_over_time(({it})[5m:1s])")]

    until(lambda: not silent(), seconds=15)
    assert len(asked) >= 8
    assert silent() == []
