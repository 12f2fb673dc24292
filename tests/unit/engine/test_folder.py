import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.engine import folder as folder_module
from orchestrator.engine.folder import (
    InvalidFolder,
    check_folder,
    folder_digest,
    list_folder,
    open_plain,
)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    folder = tmp_path / "plugin"
    (folder / "lib").mkdir(parents=True)
    (folder / "plugin.yaml").write_text("plugin_id: x\n")
    (folder / "main.py").write_text("print()\n")
    (folder / "lib" / "a.py").write_text("A = 1\n")
    return folder


def test_files_are_listed_by_path(plugin: Path) -> None:
    assert [file.path for file in list_folder(plugin)] == ["lib/a.py", "main.py", "plugin.yaml"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "main.py").write_text("print(1)\n"),
        lambda folder: (folder / "new.py").write_text(""),
        lambda folder: (folder / "main.py").unlink(),
        lambda folder: (folder / "main.py").rename(folder / "lib" / "main.py"),
        lambda folder: (folder / "main.py").chmod(0o755),
        lambda folder: (folder / "lib" / "a.py").rename(folder / "lib" / "b.py"),
    ],
    ids=["content", "new file", "removed", "moved", "made executable", "renamed"],
)
def test_whatever_changes_the_image_changes_the_digest(
    plugin: Path, change: Callable[[Path], object]
) -> None:
    before = folder_digest(plugin)
    change(plugin)

    assert folder_digest(plugin) != before


def test_content_cannot_slide_from_one_file_to_the_next(plugin: Path) -> None:
    (plugin / "a").write_text("xy")
    (plugin / "b").write_text("z")
    before = folder_digest(plugin)
    (plugin / "a").write_text("x")
    (plugin / "b").write_text("yz")

    assert folder_digest(plugin) != before


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        "__pycache__/main.cpython-311.pyc",
        "lib/__pycache__/a.pyc",
        "lib/a.pyc",
        "tests/test_main.py",
    ],
)
def test_what_stays_out_of_the_image_does_not_change_the_digest(plugin: Path, path: str) -> None:
    before = folder_digest(plugin)
    (plugin / path).parent.mkdir(exist_ok=True)
    (plugin / path).write_text("noise")

    assert folder_digest(plugin) == before


def test_only_the_top_level_tests_stay_out(plugin: Path) -> None:
    (plugin / "lib" / "tests").mkdir()
    (plugin / "lib" / "tests" / "data.json").write_text("{}")

    assert "lib/tests/data.json" in [file.path for file in list_folder(plugin)]


def test_dates_do_not_matter(plugin: Path) -> None:
    before = folder_digest(plugin)
    os.utime(plugin / "main.py", (1, 1))

    assert folder_digest(plugin) == before


@pytest.mark.parametrize("target", ["/etc/shadow", "main.py", "/nowhere", "/etc"])
def test_a_symbolic_link_is_refused_wherever_it_leads(plugin: Path, target: str) -> None:
    (plugin / "lib" / "link").symlink_to(target)

    with pytest.raises(InvalidFolder, match=r"lib/link: a symbolic link; only plain files"):
        check_folder(plugin)


def test_a_folder_that_is_a_link_is_refused(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(plugin)

    with pytest.raises(InvalidFolder, match=r"link: a symbolic link; a plugin's folder"):
        check_folder(tmp_path / "link")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFolder, match=r"nowhere: No such file"):
        folder_digest(tmp_path / "nowhere")


def test_a_pipe_is_refused_and_never_waited_for(plugin: Path) -> None:
    os.mkfifo(plugin / "pipe")

    with pytest.raises(InvalidFolder, match=r"pipe: a pipe"):
        check_folder(plugin)
    with pytest.raises(InvalidFolder, match=r"pipe: a pipe"):
        open_plain(plugin / "pipe")


def test_a_socket_is_refused(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plugin)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")

        with pytest.raises(InvalidFolder, match=r"sock: a socket"):
            check_folder(plugin)


def test_a_file_that_became_a_link_after_listing_is_not_opened(plugin: Path) -> None:
    (plugin / "main.py").unlink()
    (plugin / "main.py").symlink_to("/etc/passwd")

    with pytest.raises(InvalidFolder, match=r"main\.py: .*a plain file is expected"):
        open_plain(plugin / "main.py")


def test_too_much_is_refused_without_being_read(plugin: Path) -> None:
    with (plugin / "big.bin").open("wb") as file:
        file.truncate(256 * 2**20)

    with pytest.raises(InvalidFolder, match=r"more than 256 MiB"):
        check_folder(plugin)


def test_just_fitting_is_taken(plugin: Path) -> None:
    rest = 256 * 2**20 - sum(file.size_bytes for file in list_folder(plugin))
    with (plugin / "big.bin").open("wb") as file:
        file.truncate(rest)

    assert len(list_folder(plugin)) == 4


def test_too_many_files_are_refused(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MAX_ENTRIES", 10)
    for number in range(7):
        (plugin / f"{number}.txt").touch()

    with pytest.raises(InvalidFolder, match=r"more than 10 files and folders"):
        check_folder(plugin)


def test_empty_folders_count_as_well(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MAX_ENTRIES", 10)
    for number in range(7):
        (plugin / f"{number}").mkdir()

    with pytest.raises(InvalidFolder, match=r"more than 10 files and folders"):
        check_folder(plugin)
