"""merge: `up PATHS` speaks for what lies under those paths and for nothing else."""

from pathlib import PurePath
from typing import Any

import pytest

from orchestrator.manager.deployment import Deployment
from orchestrator.manager.desired import is_under, merge, promised


def at(make: Any, origin: str, plugin_id: str, version: str = "1.0.0") -> Deployment:
    info = {"plugin_id": plugin_id, "version": version}
    deployment: Deployment = make.deployment(info=info, origin=origin)
    return deployment


def merged(current: list[Deployment], new: list[Deployment], *paths: str) -> dict[str, Deployment]:
    return merge({d.plugin_id: d for d in current}, new, [PurePath(path) for path in paths])


def test_what_the_paths_hold_is_wanted_by_name(make: Any) -> None:
    a, b = at(make, "/m/a.yaml", "a"), at(make, "/m/b.yaml", "b")

    assert list(merged([], [b, a], "/m").items()) == [("a", a), ("b", b)]


def test_what_came_from_a_path_and_is_no_longer_there_is_not_wanted(make: Any) -> None:
    a, b = at(make, "/m/a.yaml", "a"), at(make, "/m/b.yaml", "b")

    assert merged([a, b], [a], "/m") == {"a": a}
    assert merged([a, b], [], "/m") == {}


def test_plugins_from_other_paths_are_left_as_they_are(make: Any) -> None:
    a, b = at(make, "/m/a.yaml", "a"), at(make, "/other/b.yaml", "b")
    c = at(make, "/m/c.yaml", "c")

    assert merged([a, b], [c], "/m") == {"b": b, "c": c}


def test_one_file_speaks_for_itself_alone(make: Any) -> None:
    a, b = at(make, "/m/a.yaml", "a"), at(make, "/m/b.yaml", "b")
    newer = at(make, "/m/a.yaml", "a", "2.0.0")

    assert merged([a, b], [newer], "/m/a.yaml") == {"a": newer, "b": b}


def test_a_file_whose_plugin_was_renamed_takes_the_old_name_away(make: Any) -> None:
    old, new = at(make, "/m/a.yaml", "old"), at(make, "/m/a.yaml", "new")

    assert merged([old], [new], "/m/a.yaml") == {"new": new}


def test_a_manifest_that_moved_replaces_the_one_of_its_name(make: Any) -> None:
    before, after = at(make, "/m/a.yaml", "a"), at(make, "/n/a.yaml", "a", "2.0.0")

    assert merged([before], [after], "/n") == {"a": after}


@pytest.mark.parametrize(
    ("path", "under"),
    [
        ("/m/a.yaml", True),
        ("/m", True),
        ("/", False),
        ("/m/a", False),
        ("/m/b.yaml", False),
        ("/mm", False),
    ],
)
def test_a_folder_speaks_for_its_own_files_and_not_for_folders_below(
    path: str, *, under: bool
) -> None:
    assert is_under(PurePath("/m/a.yaml"), [PurePath("/x"), PurePath(path)]) is under


def test_every_replica_is_promised_its_memory(make: Any) -> None:
    many = make.deployment(spec={"replicas": 3, "limits": {"max_memory_mb": 10}})
    stopped = make.deployment(spec={"replicas": 3, "state": "stopped"})

    assert promised({"notes": many}, first=()) == [("notes", 30 << 20)]
    assert promised({"notes": stopped}, first=()) == []
