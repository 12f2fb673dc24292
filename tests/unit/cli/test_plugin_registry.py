"""PluginRegistry, PluginManager, PluginInstance: the specification's names over the API."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.client.client import DaemonClient
from orchestrator.client.plugin_instance import (
    PluginFailed,
    PluginInstance,
    PluginNotReady,
    execute_plugin_safely,
)
from orchestrator.client.plugin_manager import PluginManager
from orchestrator.client.plugin_registry import ManifestMissing, OtherPluginFound, PluginRegistry
from orchestrator.client.problem import DaemonProblem
from orchestrator.model.events import PluginEvent
from orchestrator.model.info import PluginInfo
from orchestrator.model.status import PluginState
from orchestrator.registry.catalogue import PluginNotRegistered
from orchestrator.registry.discovery import discover_plugins
from tests.unit.cli.fake_daemon import PLUGIN_ROW, FakeDaemon

URN = "urn:orchestrator:error:deadline_exceeded"


@pytest.fixture
def registry(tmp_path: Path, daemon: FakeDaemon) -> PluginRegistry:
    """`notes` needs `search`; both have a folder and a manifest."""
    write(tmp_path, "search")
    write(tmp_path, "notes", dependencies=["search"])
    daemon.answer("/v1/desired", {"plugins": ["notes", "search"]})
    daemon.answer("/v1/plugins/notes", row())
    registry = PluginRegistry(
        daemon=DaemonClient(tmp_path / "home" / "default" / "daemon.sock"),
        manifests=tmp_path / "manifests",
        who="ada",
    )
    for info in discover_plugins(tmp_path / "plugins"):
        assert registry.register_plugin(info) is True
    return registry


def write(folder: Path, plugin_id: str, **info: Any) -> None:
    about = {
        "plugin_id": plugin_id,
        "name": plugin_id,
        "version": "1.2.3",
        "author": "Somebody",
        "description": "Made for one test.",
        "category": "integration",
        "entry_point": "a:B",
        **info,
    }
    place = folder / "plugins" / plugin_id
    place.mkdir(parents=True, exist_ok=True)
    (place / "plugin.yaml").write_text(yaml.safe_dump(about))
    manifest = {
        "apiVersion": "orchestrator/v1",
        "kind": "Plugin",
        "metadata": {"name": plugin_id},
        "spec": {"source": {"build": f"../plugins/{plugin_id}"}},
    }
    (folder / "manifests").mkdir(exist_ok=True)
    (folder / "manifests" / f"{plugin_id}.yaml").write_text(yaml.safe_dump(manifest))


def row(status: str = "active", sub_state: str = "running", **more: Any) -> dict[str, Any]:
    return {**PLUGIN_ROW, "status": status, "sub_state": sub_state, **more}


def asked(daemon: FakeDaemon, path: str) -> list[Any]:
    return [json.loads(each.body) for each in daemon.asked if each.path == path]


def test_loading_deploys_what_a_plugin_needs_and_then_itself(
    registry: PluginRegistry, daemon: FakeDaemon, tmp_path: Path
) -> None:
    instance = registry.load_plugin("notes")
    folder = tmp_path / "manifests"

    assert asked(daemon, "/v1/desired") == [
        {"paths": [str(folder / "search.yaml"), str(folder / "notes.yaml")], "config": None}
    ]
    assert (instance.plugin_id, instance.status) == ("notes", PluginState.ACTIVE)
    assert registry.dependencies("notes") == (("search",), ("notes",))


def test_what_has_no_manifest_is_known_and_not_loaded(
    registry: PluginRegistry, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "manifests" / "search.yaml").unlink()
    with pytest.raises(ManifestMissing, match="search"):
        registry.load_plugin("notes")

    assert asked(daemon, "/v1/desired") == []
    assert [info.plugin_id for info in registry.plugins] == ["notes", "search"]


def test_a_folder_that_says_something_else_by_now_is_not_loaded(
    registry: PluginRegistry, daemon: FakeDaemon, tmp_path: Path
) -> None:
    write(tmp_path, "search", permissions=["network_access"])
    with pytest.raises(OtherPluginFound, match=r"search 1\.2\.3"):
        registry.load_plugin("notes")

    assert asked(daemon, "/v1/desired") == []


def test_an_image_that_holds_another_version_is_told(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/plugins/notes", row(version="9.9.9"))
    with pytest.raises(OtherPluginFound, match=r"9\.9\.9 .* 1\.2\.3"):
        registry.load_plugin("notes")


@pytest.mark.parametrize(
    "found",
    [
        row("error", "gave_up", detail="too often"),
        row("inactive", "held", detail="too often"),
        row("active", "rolled_back", detail="too often"),
    ],
)
def test_what_does_not_come_up_is_an_error_with_its_status(
    registry: PluginRegistry, daemon: FakeDaemon, found: dict[str, Any]
) -> None:
    daemon.answer("/v1/plugins/notes", found)
    with pytest.raises(PluginNotReady, match="too often") as caught:
        registry.load_plugin("notes")

    assert caught.value.row == found


def test_what_takes_too_long_is_not_waited_for(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/plugins/notes", row("inactive", "starting"))
    with pytest.raises(PluginNotReady, match="found inactive"):
        registry.load_plugin("notes", seconds=0.05)


def test_what_the_daemon_refuses_is_its_own_problem(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/desired", {"code": "permission_refused", "kind": "denied"}, status=403)
    with pytest.raises(DaemonProblem) as caught:
        registry.load_plugin("notes")

    assert caught.value.remote_code == "permission_refused"


def test_unloading_takes_it_away_in_the_name_of_the_user(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/plugins/notes/remove", {"changed": True})

    assert registry.unload_plugin("notes") is True
    assert asked(daemon, "/v1/plugins/notes/remove")[0]["who"] == "ada"


def test_a_call_is_answered_with_what_the_plugin_said(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/plugins/notes/execute", {"sum": 3})
    instance = registry.load_plugin("notes")

    assert execute_plugin_safely(instance, [1, 2], timeout_seconds=2) == {"sum": 3}
    assert daemon.asked[-1].headers["x-deadline-ms"] == "2000"
    assert instance.execute({}, tool="add") == {"sum": 3}
    assert daemon.asked[-1].headers["x-tool"] == "add"


def test_an_answer_that_is_no_json_comes_as_bytes(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer_bytes("/v1/plugins/notes/execute", b"\xff", "application/octet-stream")

    assert registry.load_plugin("notes").execute({}) == b"\xff"


def test_limits_that_are_passed_and_the_plugins_own_problems_are_told_apart(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    instance, path = registry.load_plugin("notes"), "/v1/plugins/notes/execute"
    late = {"type": URN, "code": "deadline_exceeded", "kind": "timeout", "detail": "late"}
    daemon.answer(path, late, status=504)
    with pytest.raises(DaemonProblem) as limit:
        execute_plugin_safely(instance, {})
    daemon.answer(path, {"code": "deadline_exceeded", "detail": "no such note"}, status=404)
    with pytest.raises(PluginFailed, match="answered 404: no such note") as own:
        execute_plugin_safely(instance, {})

    assert limit.value.remote_code == "deadline_exceeded"
    assert own.value.status == 404


def test_a_start_loads_what_is_not_loaded(registry: PluginRegistry, daemon: FakeDaemon) -> None:
    manager = PluginManager(registry)
    daemon.answer(
        "/v1/plugins/notes", {"code": "plugin_not_found", "kind": "not_found"}, status=404
    )
    with pytest.raises(DaemonProblem):  # the fake one finds it neither before nor after
        manager.start_plugin("notes")

    assert len(asked(daemon, "/v1/desired")) == 1


def test_what_is_loaded_is_started_and_stopped(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    manager = PluginManager(registry)
    for verb in ("start", "stop"):
        daemon.answer(f"/v1/plugins/notes/{verb}", {"changed": True})
    started = manager.start_plugin("notes")
    daemon.answer("/v1/plugins/notes", row("inactive", "stopped"))
    stopped = manager.stop_plugin("notes")

    assert (started, stopped) == (True, True)
    assert asked(daemon, "/v1/desired") == []


def test_only_what_was_registered_is_stopped(registry: PluginRegistry, daemon: FakeDaemon) -> None:
    with pytest.raises(PluginNotRegistered):
        PluginManager(registry).stop_plugin("ghost")

    assert asked(daemon, "/v1/plugins/ghost/stop") == []


def test_active_plugins_are_those_of_the_registry_that_take_calls(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    rows = [row(), row("inactive", "stopped", plugin_id="search"), row(plugin_id="stranger")]
    daemon.answer("/v1/plugins", rows)

    assert list(PluginManager(registry).active_plugins) == ["notes"]


def test_an_event_is_routed_with_its_type_subject_and_data(
    registry: PluginRegistry, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/events", {"event_id": "e-1"})
    event = PluginEvent(
        event_id="", type="note.made", source="", at=0.0, subject="notes", data={"n": 1}
    )
    routed = PluginManager(registry).route_event(event)

    assert (routed.event_id, routed.type) == ("e-1", "note.made")
    assert asked(daemon, "/v1/events") == [
        {"type": "note.made", "subject": "notes", "data": {"n": 1}, "who": "ada"}
    ]


def test_an_instance_that_was_unloaded_has_no_status(
    registry: PluginRegistry, daemon: FakeDaemon, make: Any
) -> None:
    info: PluginInfo = make.info(plugin_id="gone")
    with pytest.raises(DaemonProblem):
        _ = PluginInstance(info, registry.daemon).status
