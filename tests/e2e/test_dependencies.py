"""Plugins that need each other: who starts when, who waits for whom, and what is refused."""

from datetime import datetime
from typing import Any

import pytest

from tests.support.instance import PLUGINS, Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


def ready_at(instance: Instance, plugin_id: str) -> float:
    """When its `started` event was published: after its initialize was answered."""
    [event] = [
        event
        for event in instance.status(plugin_id)["events"]
        if event["type"] == "orchestrator.plugin.started"
    ]
    return datetime.fromisoformat(event["time"]).timestamp()


def launched_at(container_id: str) -> float:
    """When the engine made its container."""
    with engine() as client:
        text: str = client.inspect_container(container_id)["Created"]
    return datetime.fromisoformat(text[:26] + "+00:00").timestamp()


def test_a_plugin_is_made_only_when_all_that_it_needs_is_initialised(
    instance: Instance, workshop: Workshop
) -> None:
    # By name the order would be the other way round.
    workshop.small("e2e-a", info={"dependencies": ["e2e-b", "e2e-c@^1.0"]})
    workshop.small("e2e-b", info={"dependencies": ["e2e-c"]})
    workshop.small("e2e-c")
    instance.up()
    containers = instance.containers()
    launched = {name: launched_at(containers[name]) for name in containers}

    assert ready_at(instance, "e2e-c") < launched["e2e-b"]
    assert ready_at(instance, "e2e-b") < launched["e2e-a"]


def test_dependants_are_degraded_while_what_they_need_is_down_and_go_before_it(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-a")
    workshop.small("e2e-b", info={"dependencies": ["e2e-a"]})
    instance.up()
    with engine() as client:
        client.kill(instance.containers()["e2e-a"])
    events = eventually(lambda: _changes(instance, "e2e-b"))
    instance.down(volumes=False)
    lines = [line for line in instance.log().splitlines() if "plugin.stopped" in line]
    stopped = [name for line in lines for name in ("e2e-a", "e2e-b") if f"plugin={name}]" in line]

    assert [event["type"].rpartition(".")[2] for event in events] == ["degraded", "recovered"]
    assert events[0]["data"]["causes"] == ["e2e-a"]
    assert events[0]["data"]["detail"].startswith("degraded: e2e-a is down (error: ")
    assert stopped == ["e2e-b", "e2e-a"]
    assert instance.containers() == {}


def _changes(instance: Instance, plugin_id: str) -> list[dict[str, Any]] | None:
    names = ("degraded", "recovered")
    found = [e for e in instance.status(plugin_id)["events"] if e["type"].endswith(names)]
    return found if len(found) > 1 else None


def test_a_dependency_that_cannot_start_holds_its_dependants_and_nobody_else(
    instance: Instance, workshop: Workshop
) -> None:
    instance.manifest("e2e-crasher", build=PLUGINS / "crasher")
    workshop.small("e2e-needy", info={"dependencies": ["e2e-crasher"]})
    workshop.small("e2e-free")
    done = instance.run("up", "--detach", "--wait", str(instance.manifests), expect=76, timeout=60)
    rows = eventually(lambda: _crashed(instance))
    words = eventually(lambda: _last_words(instance))
    shown = eventually(lambda: _shown_last_words(instance))

    assert "exit_code_3" in done.stderr
    assert "about to crash" in words["lines"]
    assert "  about to crash" in shown
    assert "  → read all that it wrote: `orchestrator logs e2e-crasher`" in shown
    assert rows["e2e-crasher"]["status"] == "error"
    assert rows["e2e-needy"]["status"] == "inactive"
    assert rows["e2e-needy"]["sub_state"] == "held"
    assert rows["e2e-needy"]["detail"].startswith("waiting for e2e-crasher (error: exit_code_3: ")
    assert rows["e2e-needy"]["causes"] == ["e2e-crasher"]
    assert rows["e2e-needy"]["container_id"] == ""
    assert (rows["e2e-free"]["status"], rows["e2e-free"]["detail"]) == ("active", "running")


def _crashed(instance: Instance) -> dict[str, dict[str, Any]] | None:
    rows = instance.ps()
    return rows if rows["e2e-crasher"]["reason"] == "exit_code_3" else None


def _shown_last_words(instance: Instance) -> str:
    """What `status` shows below that heading, between two of its starts."""
    return instance.run("status", "e2e-crasher").stdout.partition("last lines before it failed")[2]


def _last_words(instance: Instance) -> dict[str, Any] | None:
    found: dict[str, Any] = instance.status("e2e-crasher")["last_words"]
    return found if found["lines"] else None


CASES = {
    "cycle": (
        {"e2e-a": ["e2e-b"], "e2e-b": ["e2e-a"]},
        "found the cycle e2e-",
    ),
    "missing": (
        {"e2e-a": ["e2e-none"]},
        "e2e-a.yaml): plugin.yaml dependencies[0]: found 'e2e-none'",
    ),
    "wrong version": (
        {"e2e-a": ["e2e-b@^2.0"], "e2e-b": []},
        "e2e-b.yaml), expected ^2.0",
    ),
    "stopped": (
        {"e2e-a": ["e2e-b"], "e2e-b": []},
        "found e2e-b with spec.state stopped (",
    ),
}


def test_dependencies_that_cannot_be_met_are_refused_before_anything_starts(
    instance: Instance, workshop: Workshop
) -> None:
    for case, (plugins, message) in CASES.items():
        for file in instance.manifests.iterdir():
            file.unlink()
        for plugin_id, needs in plugins.items():
            state = "stopped" if (case, plugin_id) == ("stopped", "e2e-b") else "running"
            workshop.small(plugin_id, info={"dependencies": needs}, state=state)
        done = instance.up(expect=65)

        assert "[dependencies_unresolved]" in done.stderr, case
        assert message in done.stderr, case
        assert instance.containers() == {}, case
        assert instance.processes() == [], case
