"""Where things lie: folders, rooms and layers, in the documentation as in the tree."""

import configparser
import re
from dataclasses import fields
from pathlib import Path

from orchestrator.daemon.settings import DaemonSettings
from tests.unit.pages import ROOT, page, section, table, tracked

PACKAGE = ROOT / "orchestrator"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def _layers() -> list[str]:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    return rules["importlinter:contract:layers"]["layers"].split("\n")[1:]


def test_the_layers_are_those_that_the_linter_holds() -> None:
    shown = section("docs/architecture.md", "Rooms").partition("```text\n")[2].partition("```")[0]
    [line] = [line for line in page("README.md").splitlines() if line.startswith("cli → ")]

    assert shown.splitlines() == _layers()
    assert line.split(" → ") == [
        layer.removesuffix(" | version") for layer in _layers() if layer != "__main__"
    ]


def test_every_room_is_told_of() -> None:
    told = [row[0] for row in table("docs/architecture.md", "Rooms", first="room")]
    [line] = re.findall(r"^orchestrator/ +the package: (.+)$", page("README.md"), re.MULTILINE)

    assert sorted(name.rstrip("/") for name in told if re.fullmatch(r"\w+/", name)) == ROOMS
    assert sorted(line.split(", ")) == ROOMS


def test_every_folder_is_in_the_readmes_layout_and_no_other() -> None:
    named = re.findall(r"^([\w./*-]+)  ", section("README.md", "Layout"), re.MULTILINE)
    folders = {path.relative_to(ROOT).parts[0] for path in tracked("*/*")} - {".ci", "changes"}

    assert {name.partition("/")[0] for name in named if "/" in name} == folders
    assert [name for name in named if "*" not in name and not (ROOT / name).exists()] == []


def test_every_path_of_an_instance_is_in_the_table_of_the_state_folder() -> None:
    home = Path("/home-of-all")
    settings = DaemonSettings(home=home, instance="one")
    own = {field.name for field in fields(DaemonSettings)}
    values = [getattr(settings, name) for name in dir(settings) if name not in own]
    paths = {path for path in values if isinstance(path, Path) and home in path.parents}
    told = {
        home / row[0].replace("INSTANCE", "one").rstrip("/")
        for row in table("docs/operations.md", "The state folder", first="path")
    }

    assert len(paths) > 10
    assert paths - told - {settings.folder} == set()
