"""From manifests to running plugins, and from one state of the manifests to the next."""

import json
from typing import Any

import pytest

from tests.support.instance import EXAMPLES, PLUGINS, Instance
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


def changes(plan: list[dict[str, Any]]) -> dict[str, str]:
    return {row["plugin_id"]: row["change"] for row in plan}


def fields(plan: list[dict[str, Any]], plugin_id: str) -> dict[str, tuple[Any, Any]]:
    [row] = [row for row in plan if row["plugin_id"] == plugin_id]
    return {field["field"]: (field["old"], field["new"]) for field in row["fields"]}


def test_a_plugin_comes_up_answers_and_leaves_nothing_behind(instance: Instance) -> None:
    instance.manifest(
        "knowledge-search",
        build=EXAMPLES / "knowledge-search",
        permissions=["file_system_write"],
    )
    instance.up()
    added = instance.call(
        "knowledge-search", {"title": "Gravity", "text": "An apple falls."}, tool="add_document"
    )
    found = instance.call("knowledge-search", {"query": "apple"}, tool="search")
    instance.down()

    assert [hit["id"] for hit in found["hits"]] == [added["id"]]
    assert instance.left_over() == []


def test_plan_says_what_up_does_and_a_second_up_changes_nothing(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    workshop.small("e2e-two")
    before = instance.plan(expect=2)
    nothing_done = (instance.containers(), instance.processes())
    instance.up()
    first = instance.containers()
    after = instance.plan(expect=0)
    instance.up()

    assert changes(before) == {"e2e-one": "create", "e2e-two": "create"}
    assert set(before[0]) == {
        "plugin_id",
        "change",
        "fields",
        "strategy",
        "quarantined",
        "build_image",
        "may",
        "drift",
        "held",
        "patch",
        "deployment",
    }
    assert nothing_done == ({}, [])
    assert changes(after) == {"e2e-one": "none", "e2e-two": "none"}
    assert [row["build_image"] for row in after] == [False, False]
    assert sorted(first) == ["e2e-one", "e2e-two"]
    assert instance.containers() == first


_GRANTED = {"kind": "file_system_write", "shares": [], "required": False, "reason": ""}


@pytest.mark.parametrize(
    ("spec", "field", "values"),
    [
        ({"limits": {"max_memory_mb": 16}}, "limits.max_memory_mb", (8, 16)),
        ({"config": {"word": "new"}}, "config.word", ("old", "new")),
        ({"permissions": ["file_system_write"]}, "permissions", ([], [_GRANTED])),
    ],
    ids=["limit", "config", "permission"],
)
def test_a_changed_manifest_replaces_just_its_own_container(
    instance: Instance,
    workshop: Workshop,
    spec: dict[str, Any],
    field: str,
    values: tuple[Any, Any],
) -> None:
    schema = {"type": "object", "properties": {"word": {"type": "string", "default": "old"}}}
    info = {"config_schema": schema, "permissions": ["file_system_write"]}
    workshop.small("e2e-one", info=info)
    workshop.small("e2e-two", info=info)
    instance.up()
    first = instance.containers()
    workshop.small("e2e-one", info=info, **spec)
    plan = instance.plan(expect=2)
    instance.up()
    second = instance.containers()

    assert changes(plan) == {"e2e-one": "replace", "e2e-two": "none"}
    assert fields(plan, "e2e-one")[field] == values
    assert second["e2e-two"] == first["e2e-two"]
    assert second["e2e-one"] != first["e2e-one"]
    assert instance.ps()["e2e-one"]["container_id"] == second["e2e-one"]


def test_a_changed_plugin_folder_is_built_anew_and_replaces_its_container(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    workshop.small("e2e-two")
    instance.up()
    first = instance.containers()
    # Nobody else has made an image of that.
    workshop.revise("e2e-one", version="1.1.0", description=f"One of {instance.name}.")
    plan = instance.plan(expect=2)
    instance.up()
    second = instance.containers()

    assert changes(plan) == {"e2e-one": "replace", "e2e-two": "none"}
    assert {row["plugin_id"]: row["build_image"] for row in plan} == {
        "e2e-one": True,
        "e2e-two": False,
    }
    assert fields(plan, "e2e-one")["version"] == ("1.0.0", "1.1.0")
    assert instance.ps()["e2e-one"]["version"] == "1.1.0"
    assert second["e2e-one"] != first["e2e-one"]
    assert second["e2e-two"] == first["e2e-two"]


def test_a_manifest_that_is_gone_takes_its_plugin_along_and_no_other(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    workshop.small("e2e-two")
    instance.up()
    first = instance.containers()
    (instance.manifests / "e2e-one.yaml").unlink()
    plan = instance.plan(expect=2)
    instance.up()
    gone = instance.run("call", "e2e-one", expect=66)

    assert changes(plan) == {"e2e-one": "remove", "e2e-two": "none"}
    assert instance.containers() == {"e2e-two": first["e2e-two"]}
    assert list(instance.ps()) == ["e2e-two"]
    assert "plugin_not_found" in gone.stderr


def test_up_of_one_file_leaves_plugins_of_other_paths_alone(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    workshop.small("e2e-two")
    one, two = (str(instance.manifests / f"e2e-{name}.yaml") for name in ("one", "two"))
    instance.run("up", "--detach", "--wait", one)
    first = instance.containers()
    instance.run("up", "--detach", "--wait", two)
    second = instance.containers()
    workshop.small("e2e-two", limits={"max_memory_mb": 16})
    instance.run("up", "--detach", "--wait", one)

    assert list(first) == ["e2e-one"]
    assert sorted(second) == ["e2e-one", "e2e-two"]
    assert second["e2e-one"] == first["e2e-one"]
    assert instance.containers() == second


def test_a_stopped_plugin_loses_its_container_and_keeps_its_data(
    instance: Instance, workshop: Workshop
) -> None:
    def manifest(**spec: Any) -> None:
        instance.manifest(
            "e2e-worker", build=PLUGINS / "worker", permissions=["file_system_write"], **spec
        )

    manifest()
    workshop.small("e2e-one")
    instance.up()
    instance.call("e2e-worker", {"text": "safe"}, tool="remember")
    first = instance.containers()
    volumes = instance.volumes()
    manifest(state="stopped")
    plan = instance.plan(expect=2)
    instance.up()
    stopped = instance.ps()["e2e-worker"]
    left = (instance.containers(), instance.volumes())
    call = instance.run("call", "e2e-worker", "--tool", "recall", expect=69)
    again = instance.plan(expect=0)
    manifest()
    instance.up()

    assert changes(plan) == {"e2e-worker": "stop", "e2e-one": "none"}
    assert (stopped["status"], stopped["detail"], stopped["container_id"]) == (
        "inactive",
        "stopped",
        "",
    )
    assert left == ({"e2e-one": first["e2e-one"]}, volumes)
    assert "plugin_not_running" in call.stderr
    assert changes(again) == {"e2e-worker": "none", "e2e-one": "none"}
    assert len(volumes) == 1
    assert instance.call("e2e-worker", tool="recall") == {"text": "safe"}


def test_what_programs_read_of_ps_and_status_has_these_fields(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.up()
    containers = instance.containers()
    row = instance.ps()["e2e-one"]
    status = instance.status()
    rollout = row.pop("rollout")

    assert (rollout["revision"], rollout["serving"], rollout["moving"]) == (1, 1, False)
    assert row == {
        "plugin_id": "e2e-one",
        "version": "1.0.0",
        "status": "active",
        "detail": "running",
        "container_id": containers["e2e-one"],
        "restarts": 0,
        "reason": "",
        "drift": [],
        "held": None,
        "settled": True,
        "sub_state": "running",
        "causes": [],
    }
    assert [status["pid"]] == instance.processes()
    assert (status["instance"], status["plugins"]) == (instance.name, 1)
    assert status["version"] in instance.run("--version").stdout
    assert instance.status("e2e-one")["origin"] == str(instance.manifests / "e2e-one.yaml")


def test_commands_tell_by_their_exit_code_what_went_wrong(
    instance: Instance, workshop: Workshop
) -> None:
    without_daemon = [
        instance.run(*command, expect=None)
        for command in (["ps"], ["status"], ["call", "e2e-one"], ["logs", "e2e-one"])
    ]
    workshop.small("e2e-one")
    instance.up()

    assert [done.returncode for done in without_daemon] == [69] * 4
    assert all("[daemon_not_running]" in done.stderr for done in without_daemon)
    for arguments, code in [
        (["call", "e2e-none"], 66),
        (["logs", "e2e-none"], 66),
        (["status", "e2e-none"], 66),
        (["call", "e2e-one", "--tool", "none"], 66),
        (["call", "e2e-one", "no json"], 65),
        (["call", "e2e-one", "{}", "--tool", "sleep"], 65),
        (["ps", "--no-such-option"], 64),
        (["no-such-command"], 64),
        (["ps", "--instance", "Not A Name"], 65),
        (["up", "--detach", "--config", "/no/such/file", str(instance.manifests)], 65),
    ]:
        done = instance.run(*arguments, expect=code)

        assert done.stdout == ""
        assert len(done.stderr) > 10


def test_a_call_takes_its_input_from_words_files_and_standard_input(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.up()
    (instance.folder / "input.json").write_text(json.dumps({"from": "file"}))

    assert instance.call("e2e-one", {"from": "words"}) == {"from": "words"}
    assert instance.run("call", "e2e-one", "@input.json").stdout == '{"from": "file"}\n'
    assert instance.run("call", "e2e-one", "-", stdin=b"no JSON").stdout == "no JSON"
