"""preview: what `up` would do to each plugin, and which fields make the difference."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_ROLE
from orchestrator.manager.preview import Change, ChangeKind, FieldChange, container_json, preview
from orchestrator.model.permissions import FileSystemRead


def change(old: Any, new: Any, *containers: Any) -> Change:
    [only] = preview({"notes": old} if old else {}, {"notes": new} if new else {}, list(containers))
    return only


def field(found: Change, name: str) -> FieldChange:
    return next(each for each in found.fields if each.field == name)


@pytest.fixture
def old(make: Any) -> Any:
    return make.deployment()


@pytest.fixture
def stopped(make: Any) -> Any:
    return make.deployment(spec={"state": "stopped"})


def test_a_plugin_that_is_not_there_is_created(old: Any) -> None:
    expected = Change(plugin_id="notes", kind=ChangeKind.CREATE)

    assert change(None, old) == expected
    assert change(old, old) == expected


def test_a_container_that_is_no_plugins_is_passed_over(make: Any, old: Any) -> None:
    container = make.container(old)
    role = replace(container, labels=(*container.labels, (LABEL_ROLE, "code")))

    assert preview({}, {}, [role]) == []


def test_a_plugin_whose_revision_is_there_does_not_change(make: Any, old: Any) -> None:
    expected = Change(plugin_id="notes", kind=ChangeKind.NONE)

    assert change(old, old, make.container(old)) == expected
    assert change(None, old, make.container(old)) == expected


def test_a_plugin_of_another_revision_is_replaced_field_by_field(make: Any, old: Any) -> None:
    new = make.deployment(
        FileSystemRead(shares=("docs",)),
        info={"version": "1.3.0"},
        config={"depth": 2},
        spec={"limits": {"max_memory_mb": 64}},
    )
    found = change(old, new, make.container(old))

    assert (found.plugin_id, found.kind) == ("notes", ChangeKind.REPLACE)
    assert field(found, "version") == FieldChange(field="version", old="1.2.3", new="1.3.0")
    assert field(found, "config.depth") == FieldChange(field="config.depth", old=None, new=2)
    assert field(found, "limits.max_memory_mb").new == 64
    assert field(found, "container.memory_bytes") == FieldChange(
        field="container.memory_bytes", old=100 * 1024 * 1024, new=64 * 1024 * 1024
    )
    assert [each.field for each in found.fields] == sorted(each.field for each in found.fields)
    assert {each.field for each in found.fields} == {
        "version",
        "config.depth",
        "limits.max_memory_mb",
        "permissions",
        "container.memory_bytes",
        "container.share_mounts",
    }


def test_a_container_of_an_unknown_origin_is_replaced_without_fields(make: Any, old: Any) -> None:
    other = make.deployment(config={"depth": 2})

    assert change(None, old, make.container(other)) == Change(
        plugin_id="notes", kind=ChangeKind.REPLACE
    )


def test_a_plugin_wanted_stopped_is_stopped_if_it_is_there(
    make: Any, old: Any, stopped: Any
) -> None:
    assert change(old, stopped, make.container(old)).kind is ChangeKind.STOP
    assert change(old, stopped).kind is ChangeKind.NONE


def test_a_plugin_no_longer_wanted_is_removed(make: Any, old: Any) -> None:
    assert change(old, None, make.container(old)).kind is ChangeKind.REMOVE
    assert change(None, None, make.container(old)).kind is ChangeKind.REMOVE
    assert change(old, None).kind is ChangeKind.REMOVE


def test_every_plugin_known_in_any_way_has_its_row_by_name(make: Any) -> None:
    a, b = (make.deployment(info={"plugin_id": name}) for name in "ab")
    container = replace(
        make.container(a), labels=((LABEL_PLUGIN, "c"), (LABEL_DIGEST, "x")), container_id="c"
    )

    assert [(row.plugin_id, row.kind) for row in preview({"b": b}, {"a": a}, [container])] == [
        ("a", ChangeKind.CREATE),
        ("b", ChangeKind.REMOVE),
        ("c", ChangeKind.REMOVE),
    ]


def test_the_container_is_told_as_plain_json(old: Any) -> None:
    told = container_json(old)

    assert told["read_only_root"] is True
    assert told["network_mode"] == "none"
    assert told["environment"][0] == ["ORCHESTRATOR_PLUGIN_ID", "notes"]
    assert told["tmpfs"] == [
        {"target": "/tmp", "size_bytes": 16 * 1024 * 1024, "inodes": 4_096, "mode": 0o1777}
    ]
