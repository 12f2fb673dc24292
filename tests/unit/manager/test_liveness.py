"""An instance is gone only if that is certain: in every doubt it exists."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, LABEL_OWNER
from orchestrator.manager import liveness
from orchestrator.manager.liveness import (
    Life,
    Maker,
    announced,
    host_mark,
    life_of,
    marks,
    owner_of,
)


def maker_of(folder: Path) -> Maker:
    labels = {LABEL_INSTANCE: folder.name, LABEL_OWNER: owner_of(folder), **marks(folder)}
    maker = Maker.of(labels)
    assert maker is not None
    return maker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "one"
    folder.mkdir(parents=True)
    return folder


def test_an_instance_whose_folder_is_there_exists_though_no_daemon_runs(folder: Path) -> None:
    assert life_of(maker_of(folder)) is Life.IDLE


def test_an_instance_whose_folder_was_removed_is_gone(folder: Path) -> None:
    maker = maker_of(folder)
    shutil.rmtree(folder.parent)

    assert life_of(maker) is Life.GONE


def test_a_daemon_that_runs_is_alive_though_its_folder_were_gone(folder: Path) -> None:
    maker = maker_of(folder)
    shutil.rmtree(folder.parent)
    with announced(maker.owner):
        during = life_of(maker)

    assert during is Life.LIVE
    assert life_of(maker) is Life.GONE


def test_a_daemon_that_was_killed_is_announced_no_more(folder: Path, python: str) -> None:
    maker = maker_of(folder)
    words = "from orchestrator.manager.liveness import announced\nimport sys, time\n"
    script = f"{words}with announced({maker.owner!r}):\n print(1, flush=True)\n time.sleep(60)"
    with subprocess.Popen([python, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        during = life_of(maker)
        process.kill()

    assert (during, life_of(maker)) == (Life.LIVE, Life.IDLE)


def test_two_daemons_of_one_name_are_no_trouble(folder: Path) -> None:
    """Somebody else could hold the name first: others then find the daemon alive all the same."""
    maker = maker_of(folder)
    with announced(maker.owner), announced(maker.owner):
        assert life_of(maker) is Life.LIVE


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "0123456789abcdef"},
        {"instance": "another"},
        {"owner": "00000000"},
        {"folder": "relative/one"},
        {"folder": "/somewhere/else/one"},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_not_judged(folder: Path, changes: dict[str, str]) -> None:
    maker = maker_of(folder)
    shutil.rmtree(folder.parent)

    assert life_of(replace(maker, **changes)) is Life.UNKNOWN


def test_a_folder_on_a_disk_that_is_not_there_now_is_not_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path then leads to the disk below the mount point."""
    elsewhere = Path("/dev/shm")  # another file system than the temporary folder's, or the mark is
    maker = replace(maker_of(folder), host=host_mark(elsewhere))
    shutil.rmtree(folder.parent)
    if folder.parents[2].stat().st_dev == elsewhere.stat().st_dev:
        monkeypatch.setattr(liveness, "_nearest", lambda _: Path("/proc"))

    assert life_of(maker) is Life.UNKNOWN


@pytest.mark.parametrize("link", ["one", "home", "."])
def test_a_folder_behind_a_link_to_a_disk_that_is_not_there_now_is_not_gone(
    tmp_path: Path, link: str
) -> None:
    """Also where the link leads to another that leads nowhere."""
    place = tmp_path / "place"
    folder, disk = place / "home" / "one", tmp_path / "mnt" / "disk"
    disk.mkdir(parents=True)
    linked = place / "home" / "one" if link == "one" else place / link
    linked.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "second").symlink_to(disk)
    linked.symlink_to(tmp_path / "second")
    folder.mkdir(parents=True, exist_ok=True)
    maker = maker_of(folder)
    before = life_of(maker)
    shutil.rmtree(disk)

    assert (before, life_of(maker)) == (Life.IDLE, Life.UNKNOWN)


def test_a_folder_that_was_removed_behind_a_link_is_gone(tmp_path: Path) -> None:
    disk, home = tmp_path / "disk", tmp_path / "home"
    (disk / "one").mkdir(parents=True)
    home.symlink_to(disk)
    maker = maker_of(home / "one")
    (disk / "one").rmdir()

    assert life_of(maker) is Life.GONE


def test_a_folder_on_another_machine_is_not_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = maker_of(folder)
    shutil.rmtree(folder.parent)
    monkeypatch.setattr(liveness.socket, "gethostname", lambda: "another")

    assert life_of(maker) is Life.UNKNOWN


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(5, "Input/output error")])
def test_a_folder_that_may_not_be_seen_is_not_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    maker = maker_of(folder)
    shutil.rmtree(folder.parent)
    mark = host_mark(folder)

    def refuse(self: Path) -> os.stat_result:
        if self == folder:
            raise error
        return os.lstat(self)

    monkeypatch.setattr(liveness, "host_mark", lambda _: mark)
    monkeypatch.setattr(Path, "lstat", refuse)

    assert life_of(maker) is Life.UNKNOWN


def test_what_does_not_carry_every_label_has_no_maker(folder: Path) -> None:
    labels = maker_of(folder).labels

    assert Maker.of(labels) is not None
    assert [Maker.of({**labels, name: ""}) for name in labels] == [None] * 4
    assert [
        Maker.of({key: value for key, value in labels.items() if key != name}) for name in labels
    ] == [None] * 4
