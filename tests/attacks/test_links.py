"""Links in shares and volumes: of the plugin, of the share's owner, swapped in for a folder."""

from pathlib import Path

import pytest

from tests.support.arena import OUTSIDE, Arena, on_gvisor_too
from tests.support.instance import engine, eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]

SHARES = ["library", "desk"]
PLACES = ["/data", "/mnt/desk", "/tmp"]
KEPT = {
    "runc": {"EBUSY", "EISDIR", "EROFS", "EPERM"},
    "runsc": {"EACCES"},  # it asks whose folder it is first
}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("link", ["absolute", "relative"])
def test_a_link_in_a_share_does_not_lead_to_the_hosts_files(
    arena: Arena, share: str, link: str
) -> None:
    assert (arena.shares / share / link).read_text() == OUTSIDE

    found = arena.keeper("read", path=f"/mnt/{share}/{link}")

    assert found["error"] == "ENOENT"


@pytest.mark.parametrize("share", SHARES)
def test_a_link_to_shadow_meets_the_images_own(arena: Arena, share: str) -> None:
    found = arena.keeper("read", path=f"/mnt/{share}/shadow")

    assert found["error"] in {"ENOENT", "EACCES"}
    assert found["result"] is None


@pytest.mark.parametrize("place", PLACES)
def test_a_link_of_its_own_leads_no_further(arena: Arena, place: str) -> None:
    link = f"{place}/way-out"
    targets = [
        str(arena.shares / "outside.txt"),
        "../" * 20 + str(arena.shares / "outside.txt").lstrip("/"),
        f"/proc/1/root{arena.shares}/outside.txt",
    ]
    found = []
    for target in targets:
        assert arena.keeper("link", source=target, target=link, hard=False)["error"] == ""
        found.append(arena.keeper("read", path=link))
        arena.keeper("remove", path=link)

    assert [each["result"] for each in found] == [None] * 3


@pytest.mark.parametrize(
    "source", ["/mnt/library/book.txt", "/etc/passwd", "/plugin/probe.py", "/proc/self/status"]
)
@pytest.mark.parametrize("place", PLACES)
def test_no_hard_link_carries_a_file_to_where_it_may_be_written(
    arena: Arena, place: str, source: str
) -> None:
    linked = arena.keeper("link", source=source, target=f"{place}/mine", hard=True)
    moved = arena.keeper("rename", source=source, target=f"{place}/mine")

    assert linked["error"] == "EXDEV"
    assert moved["error"] in {"EXDEV", "EROFS", "EACCES"}


@pytest.mark.parametrize("target", ["/data", "/mnt/desk", "/mnt/library", "/run/orchestrator"])
def test_what_is_mounted_for_it_cannot_be_replaced(arena: Arena, target: str) -> None:
    moved = arena.keeper("rename", source=target, target="/tmp/away")
    removed = arena.keeper("remove", path=target)

    assert moved["error"] in {"EBUSY", "EXDEV", "EROFS"}
    assert removed["error"] in KEPT[arena.runtime]


def test_links_in_its_volume_are_still_its_own_after_a_restart(arena: Arena) -> None:
    keeper = arena.keeper
    keeper("link", source="/", target="/data/root", hard=False)
    _restart(arena)
    found = keeper("read", path=f"/data/root{arena.shares}/outside.txt")
    mounted = keeper("list", path="/data/root/data")["result"]
    keeper("remove", path="/data/root")

    assert found["error"] == "ENOENT"
    assert "root" in mounted


def test_a_share_swapped_for_a_link_is_not_mounted_again_until_it_is_a_folder(
    arena: Arena,
) -> None:
    keeper, desk, aside = arena.keeper, arena.shares / "desk", arena.shares / "aside"
    private = arena.shares / "private"
    private.mkdir(exist_ok=True)
    (private / "outside.txt").write_text(OUTSIDE)
    before = keeper.status()
    desk.rename(aside)
    desk.symlink_to(private)
    try:
        with engine() as client:
            client.kill(before["container_id"])
        eventually(lambda: "and no link" in keeper.status()["detail"], seconds=60)
        running = keeper.inspect()["State"]["Running"]
        told = arena.instance.run("status", "keeper").stdout
    finally:
        desk.unlink()
        aside.rename(desk)
    eventually(keeper.answers, seconds=120)

    assert not running
    assert f"Share {desk}" in told
    assert keeper("read", path="/mnt/desk/outside.txt")["error"] == "ENOENT"
    assert keeper("read", path="/mnt/desk/book.txt")["result"] == "once upon a time"


def test_no_copy_of_the_hosts_files_was_written_through_any_of_it(arena: Arena) -> None:
    private = Path(arena.shares / "outside.txt")

    assert private.read_text() == OUTSIDE


def _restart(arena: Arena) -> None:
    before = arena.keeper.status()
    with engine() as client:
        client.kill(before["container_id"])
    eventually(
        lambda: arena.keeper.status()["restarts"] > before["restarts"] and arena.keeper.answers(),
        seconds=90,
    )
