"""Shares are for data: no program in one of them runs, before and after a restart."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.baseline.conftest import Probe
from tests.support.instance import engine, eventually

pytestmark = pytest.mark.docker

Limited = Callable[[str], Probe]
SHARES = pytest.mark.parametrize("share", ["library", "desk"])
HARMLESS = ["nosuid", "nodev", "noexec"]


@pytest.fixture
def programs(shares: Path) -> Path:
    """In both shares: a program, and a script."""
    for share in ("library", "desk"):
        shutil.copy2("/bin/true", shares / share / "program")
        script = shares / share / "script"
        script.write_text("#!/bin/sh\necho ran\n")
        script.chmod(0o755)
    return shares


@SHARES
@pytest.mark.parametrize("name", ["program", "script"])
def test_what_lies_in_a_share_cannot_be_run(
    limited: Limited, programs: Path, share: str, name: str
) -> None:
    found = limited("keeper")("execute", path=f"/mnt/{share}/{name}")

    assert (found["error"], found["result"]) == ("EACCES", None)


@SHARES
def test_what_lies_in_a_share_cannot_be_loaded_as_a_library(
    limited: Limited, programs: Path, share: str
) -> None:
    keeper = limited("keeper")

    assert keeper("map_program", path="/usr/bin/python3")["error"] == ""
    assert keeper("map_program", path=f"/mnt/{share}/program")["error"] == "EPERM"


def test_what_it_writes_into_a_share_it_cannot_run(limited: Limited) -> None:
    found = limited("keeper")("plant", path="/mnt/desk/planted")

    assert found["error"] == "EACCES"


@SHARES
def test_no_program_device_or_setuid_bit_counts_in_a_share(limited: Limited, share: str) -> None:
    found = limited("keeper")("file_system", path=f"/mnt/{share}")["result"]["options"]

    assert found == (["ro", *HARMLESS] if share == "library" else HARMLESS)


def test_it_stays_so_when_the_container_is_started_again(limited: Limited, shares: Path) -> None:
    keeper = limited("keeper")
    before = keeper.status()
    with engine() as client:
        client.kill(before["container_id"])
    eventually(lambda: keeper.status()["restarts"] > before["restarts"] and keeper.answers())
    found = {
        share: keeper("file_system", path=f"/mnt/{share}")["result"]["options"]
        for share in ("library", "desk")
    }
    keeper("write", path="/mnt/desk/after", text="a restart")

    assert keeper.status()["container_id"] == before["container_id"]
    assert found == {"library": ["ro", *HARMLESS], "desk": HARMLESS}
    assert (shares / "desk" / "after").read_text() == "a restart"


def test_the_host_keeps_none_of_the_mounts_that_a_start_takes(
    limited: Limited, shares: Path
) -> None:
    assert limited("keeper")("file_system", path="/mnt/desk")["error"] == ""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in mounts if line.split()[3] == str(shares / "desk")]

    assert places == []
