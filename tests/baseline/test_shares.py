"""Shares and the plugin's own volume: exactly what was granted, and no way out of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.arena import DISK_MB, MIB, OUTSIDE
from tests.support.instance import engine, eventually
from tests.support.probe import Probe

pytestmark = pytest.mark.docker

Limited = Callable[[str], Probe]


def test_a_share_granted_for_reading_is_read(limited: Limited) -> None:
    found = limited("keeper")("read", path="/mnt/library/book.txt")

    assert found["result"] == "once upon a time"


@pytest.mark.parametrize("name", ["book.txt", "new.txt"])
def test_a_share_granted_for_reading_is_not_written_though_the_hosts_folder_is_open_to_all(
    limited: Limited, shares: Path, name: str
) -> None:
    found = limited("keeper")("write", path=f"/mnt/library/{name}", text="changed")

    assert found["error"] == "EROFS"
    assert (shares / "library" / "book.txt").read_text() == "once upon a time"
    assert not (shares / "library" / "new.txt").exists()


def test_a_share_granted_for_writing_is_written(limited: Limited, shares: Path) -> None:
    found = limited("keeper")("write", path="/mnt/desk/note.txt", text="by the plugin")

    assert found["error"] == ""
    assert (shares / "desk" / "note.txt").read_text() == "by the plugin"
    assert (shares / "desk" / "note.txt").stat().st_uid == 65_532


@pytest.mark.parametrize("share", ["library", "desk"])
@pytest.mark.parametrize("link", ["absolute", "relative"])
def test_a_link_in_a_share_does_not_lead_to_the_hosts_files(
    limited: Limited, shares: Path, share: str, link: str
) -> None:
    assert (shares / share / link).read_text() == OUTSIDE

    found = limited("keeper")("read", path=f"/mnt/{share}/{link}")

    assert found["error"] == "ENOENT"


@pytest.mark.parametrize("share", ["library", "desk"])
def test_a_link_to_shadow_meets_the_images_own(limited: Limited, share: str) -> None:
    found = limited("keeper")("read", path=f"/mnt/{share}/shadow")

    assert found["error"] in {"ENOENT", "EACCES"}
    assert found["result"] is None


def test_it_sees_the_shares_it_was_granted_and_no_other(limited: Limited) -> None:
    granted = limited("keeper")("list", path="/mnt")["result"]
    not_granted = limited("busy")("list", path="/mnt")["result"]

    assert (granted, not_granted) == (["desk", "library"], [])


def test_its_volume_is_empty_at_first_and_no_program_runs_from_it(limited: Limited) -> None:
    keeper = limited("keeper")

    assert keeper("plant", path="/data/script")["error"] == "EACCES"
    assert keeper("file_system", path="/data")["result"]["options"] == [
        *("nosuid", "nodev", "noexec")
    ]


def test_a_full_volume_is_an_error_to_the_plugin_and_no_more(limited: Limited) -> None:
    keeper = limited("keeper")
    filled = keeper("fill", path="/data/flood", mb=2 * DISK_MB, keep=True)
    still = keeper("fill", path="/data/more", mb=1)
    keeper("remove", path="/data/flood")

    assert filled["error"] == "ENOSPC"
    assert 0.8 * DISK_MB * MIB < filled["bytes"] <= DISK_MB * MIB
    assert (still["error"], still["bytes"]) == ("ENOSPC", 0)
    assert keeper("fill", path="/data/again", mb=1)["error"] == ""


def test_a_volume_holds_no_more_files_than_its_size_allows(limited: Limited) -> None:
    found = limited("keeper")("inodes", path="/data", count=DISK_MB * 1_024)

    assert found["error"] == "ENOSPC"


def test_what_it_wrote_is_there_after_a_kill_and_after_down_and_up(limited: Limited) -> None:
    keeper = limited("keeper")
    keeper("write", path="/data/diary", text="day one")
    before = keeper.status()
    with engine() as client:
        client.kill(before["container_id"])
    eventually(lambda: keeper.status()["restarts"] > before["restarts"] and keeper.answers())
    after_kill = keeper("read", path="/data/diary")["result"]
    keeper.instance.down(volumes=False)
    keeper.instance.up()
    after_down = keeper("read", path="/data/diary")["result"]

    assert (after_kill, after_down) == ("day one", "day one")
