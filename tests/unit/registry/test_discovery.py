"""Plugins found in a directory's folders."""

from pathlib import Path

import pytest

from orchestrator.errors import Kind
from orchestrator.model.problems import InvalidFile
from orchestrator.registry.discovery import PluginDirectoryNotFound, discover_plugins

INFO = """\
plugin_id: NAME
name: A name
version: 1.2.3
author: Somebody
description: Does it.
category: security
entry_point: a:B
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("plugins").mkdir()
    return Path("plugins")


def put(folder: Path, name: str, text: str = INFO) -> Path:
    folder.mkdir(parents=True)
    (folder / "plugin.yaml").write_text(text.replace("NAME", name), encoding="utf-8")
    return folder


def problems(directory: Path) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        discover_plugins(directory)
    return str(caught.value).splitlines()


def test_every_direct_folder_with_metadata_is_a_plugin_sorted_by_id(plugins: Path) -> None:
    put(plugins / "1", "zebra")
    put(plugins / "2", "ape")
    put(plugins / "no-plugin" / "below", "deep")
    put(plugins / ".hidden", "hidden")
    (plugins / "README.md").write_text("words", encoding="utf-8")

    assert [info.plugin_id for info in discover_plugins(plugins)] == ["ape", "zebra"]
    assert discover_plugins(str(plugins)) == discover_plugins(plugins)


def test_all_problems_of_all_plugins_come_at_once(plugins: Path) -> None:
    put(plugins / "a", "BAD")
    put(plugins / "b", "b", INFO.replace("1.2.3", "1.x"))
    put(plugins / "c", "c")
    put(plugins / "d", "c")

    assert problems(plugins) == [
        (
            "plugins/a/plugin.yaml:1: plugin_id: found 'BAD', expected "
            "at most 63 lower-case letters, digits and hyphens, a letter first"
        ),
        "plugins/b/plugin.yaml:3: version: found '1.x', expected a SemVer version such as 1.2.3",
        "plugins/d: plugin_id: found c again (plugins/c has it), expected every plugin once",
    ]


def test_a_linked_folder_outside_is_refused_unread(plugins: Path) -> None:
    put(Path("elsewhere"), "BAD")
    (plugins / "out").symlink_to("../elsewhere")

    assert problems(plugins) == [
        "plugins/out: found a link that leads outside, expected a folder within plugins"
    ]


def test_a_link_within_the_directory_is_the_same_plugin_twice(plugins: Path) -> None:
    put(plugins / "a", "a")
    (plugins / "latest").symlink_to("a")

    assert problems(plugins) == [
        "plugins/latest: plugin_id: found a again (plugins/a has it), expected every plugin once"
    ]


def test_linked_metadata_outside_its_folder_is_refused_unread(plugins: Path) -> None:
    put(plugins / "a", "a")
    (plugins / "b").mkdir()
    (plugins / "b" / "plugin.yaml").symlink_to("../a/plugin.yaml")
    (plugins / "c").mkdir()
    (plugins / "c" / "plugin.json").symlink_to("/nowhere")

    assert problems(plugins) == [
        f"plugins/{name}: found a link that leads outside, expected a file of the folder"
        for name in ("b/plugin.yaml", "c/plugin.json")
    ]


def test_a_directory_that_is_missing_or_none_is_told(plugins: Path) -> None:
    with pytest.raises(PluginDirectoryNotFound) as caught:
        discover_plugins("gone")

    assert str(caught.value) == "gone: found nothing there, expected a directory of plugin folders"
    assert (caught.value.kind, caught.value.code) == (
        Kind.NOT_FOUND,
        "plugin_directory_not_found",
    )
    (plugins / "file").write_text("", encoding="utf-8")
    with pytest.raises(PluginDirectoryNotFound, match="found no directory"):
        discover_plugins(plugins / "file")


def test_an_empty_directory_holds_no_plugins(plugins: Path) -> None:
    assert discover_plugins(plugins) == []
