"""Setuid programs: of the image, of a share, made by the plugin itself."""

import pytest

from tests.support.arena import Arena, on_gvisor_too
from tests.support.probe import become_root

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

NOBODY_ELSE = "65532 65532 -1"


@on_gvisor_too
def test_a_setuid_root_program_in_its_image_makes_it_nobody_else(arena: Arena) -> None:
    found = arena.attacker("execute", path="/usr/bin/become-root")

    assert found == {"error": "", "result": NOBODY_ELSE}


@pytest.mark.parametrize("share", ["library", "desk"])
def test_a_setuid_root_program_in_a_share_makes_it_nobody_else(arena: Arena, share: str) -> None:
    program = become_root(arena.shares / share)
    program.chmod(0o4755)
    found = arena.keeper("execute", path=f"/mnt/{share}/become-root")

    assert (found["error"], found["result"]) == ("EACCES", None)


@pytest.mark.parametrize("path", ["/tmp", "/dev/shm", "/data"])
def test_where_it_may_write_no_program_runs_and_no_setuid_bit_counts(
    arena: Arena, path: str
) -> None:
    planted = arena.keeper("plant", path=f"{path}/script")
    options = arena.keeper("file_system", path=path)["result"]["options"]

    assert planted["error"] == "EACCES"
    assert {"nosuid", "noexec"} <= set(options)
