"""A plugin's disk: full is an error to it, and what it holds outlives whatever befalls it."""

import json
import os
import signal
from typing import Any

import pytest

from tests.support.instance import engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

MIB = 1 << 20
DISK_MB = 8
PLUGIN = "e2e-disk"
CODE = """
import errno
import os
from pathlib import Path

from orchestrator_sdk import PluginInterface, tool


def until_refused(step):
    done = 0
    try:
        while True:
            step(done)
            done += 1
    except OSError as error:
        return {"error": errno.errorcode[error.errno], "done": done}


class Plugin(PluginInterface):
    @tool
    def fill(self, name: str) -> dict:
        with open(f"/data/{name}", "wb", buffering=0) as file:
            return until_refused(lambda _: file.write(bytes(1 << 16)))

    @tool
    def inodes(self) -> dict:
        return until_refused(lambda n: Path(f"/data/empty-{n}").touch())

    @tool
    def clear(self, start: str) -> dict:
        found = [path for path in Path("/data").iterdir() if path.name.startswith(start)]
        for path in found:
            path.unlink()
        return {"removed": len(found)}

    @tool
    def keep(self, name: str, text: str) -> dict:
        Path("/data", name).write_text(text)
        return {}

    @tool
    def look(self) -> dict:
        disk = os.statvfs("/data")
        notes = {p.name: p.read_text() for p in Path("/data").glob("note*")}
        return {"notes": notes, "bytes": disk.f_blocks * disk.f_frsize, "version": self.version()}

    def version(self) -> str:
        return Path("/plugin/plugin.yaml").read_text().partition("version:")[2].split()[0]
"""
TOOLS = [
    {"name": name, "description": "For the test."}
    for name in ("fill", "inodes", "clear", "keep", "look")
]


class Disk:
    """The plugin, called by its tools."""

    def __init__(self, workshop: Workshop) -> None:
        self.instance = workshop.instance
        self.workshop = workshop

    def __call__(self, tool: str, **arguments: Any) -> Any:
        return self.instance.call(PLUGIN, arguments, tool=tool)

    def size(self, megabytes: int) -> None:
        """Write the manifest anew."""
        self.instance.manifest(
            PLUGIN,
            build=self.instance.folder / "plugins" / PLUGIN,
            permissions=["file_system_write"],
            limits={"max_disk_mb": megabytes},
        )


@pytest.fixture(scope="module")
def disk(shared_workshop: Workshop) -> Disk:
    info = {"permissions": ["file_system_write"], "tools": TOOLS}
    shared_workshop.script(PLUGIN, CODE, info=info)
    made = Disk(shared_workshop)
    made.size(DISK_MB)
    made.instance.up()
    return made


def test_status_and_doctor_say_what_holds_the_disk(disk: Disk) -> None:
    findings = json.loads(disk.instance.run("doctor", "--json", expect=None).stdout)
    [finding] = [each for each in findings if each["check"] == "disk limit"]
    status = disk.instance.run("status", PLUGIN).stdout
    held = disk.instance.status(PLUGIN)["disk_enforced_by"]

    assert held == "loop ext4"
    assert f"enforced by: {held}" in " ".join(status.split())
    assert finding["found"] == f"enforced by: {held}, seen by overfilling one"


def test_a_full_disk_is_an_error_to_the_plugin_which_runs_on(disk: Disk) -> None:
    before = disk.instance.status(PLUGIN)
    disk("keep", name="note-before", text="kept")
    filled = disk("fill", name="flood")
    again = disk("fill", name="more")
    found = disk("look")
    after = disk.instance.status(PLUGIN)
    disk("clear", start="flood")

    assert filled["error"] == "ENOSPC"
    assert 0.8 * DISK_MB * MIB < filled["done"] * 65_536 <= DISK_MB * MIB
    assert (again["error"], again["done"]) == ("ENOSPC", 0)
    assert found["notes"]["note-before"] == "kept"
    assert (after["status"], after["restarts"]) == ("active", before["restarts"])
    assert after["container_id"] == before["container_id"]


def test_no_more_files_than_the_disk_has_place_for_and_the_plugin_runs_on(disk: Disk) -> None:
    before = disk.instance.status(PLUGIN)
    found = disk("inodes")
    after = disk.instance.status(PLUGIN)
    disk("clear", start="empty-")

    assert found["error"] == "ENOSPC"
    assert 64 < found["done"] < DISK_MB * 256
    assert after["container_id"] == before["container_id"]
    assert disk("keep", name="note-files", text="room again") == {}


def test_a_full_disk_outlives_a_kill_an_update_and_the_daemons_death(disk: Disk) -> None:
    instance = disk.instance
    disk("keep", name="note-long", text="still here")
    disk("fill", name="flood")

    def told() -> tuple[str, str]:
        """What it kept, and that the disk still is full."""
        return disk("look")["notes"]["note-long"], disk("fill", name="more")["error"]

    before = instance.status(PLUGIN)
    with engine() as client:
        client.kill(before["container_id"])
    eventually(
        lambda: (
            (now := instance.status(PLUGIN))["restarts"] > before["restarts"]
            and now["status"] == "active"
        )
    )
    after_kill = told()
    disk.workshop.revise(PLUGIN, version="1.1.0")
    instance.up()
    after_update = told()
    os.kill(instance.daemon_pid(), signal.SIGKILL)
    eventually(lambda: not instance.processes())
    instance.up()
    after_daemon = told()
    disk("clear", start="flood")

    assert (after_kill, after_update, after_daemon) == (("still here", "ENOSPC"),) * 3
    assert disk("look")["version"] == "1.1.0"
    assert instance.status(PLUGIN)["container_id"] != before["container_id"]


def test_a_disk_grows_with_its_limit_and_shrinks_no_further_than_its_content(disk: Disk) -> None:
    disk("keep", name="note-grow", text="all the time")
    disk.size(2 * DISK_MB)
    disk.instance.up()
    grown = disk("look")
    filled = disk("fill", name="flood")
    disk.size(DISK_MB // 2)
    refused = disk.instance.up(expect=None)
    disk.size(2 * DISK_MB)
    disk.instance.up()
    disk("clear", start="flood")
    disk.size(DISK_MB // 2)
    disk.instance.up()
    shrunk = disk("look")

    assert grown["notes"]["note-grow"] == "all the time"
    assert 0.8 * 2 * DISK_MB * MIB < filled["done"] * 65_536 <= 2 * DISK_MB * MIB
    assert refused.returncode != 0
    assert "cannot shrink" in refused.stdout + refused.stderr
    assert shrunk["notes"]["note-grow"] == "all the time"
    assert shrunk["bytes"] <= DISK_MB // 2 * MIB < grown["bytes"]
