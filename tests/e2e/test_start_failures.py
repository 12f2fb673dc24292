"""Plugins that are allowed and yet do not come up: why is told, and what ran before runs on."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import PLUGINS, Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

BROKEN = """\
ARG ORCHESTRATOR_BASE
FROM ${ORCHESTRATOR_BASE}
RUN echo gathering stones && echo the quarry is shut && exit 9
"""
DEAF = "import time; time.sleep(600)"


def test_a_dockerfile_that_does_not_build_is_told_with_its_last_lines(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.recipe("e2e-broken", BROKEN)
    workshop.small("e2e-other")
    done = instance.up(expect=76)
    rows = instance.ps()
    status = instance.status("e2e-broken")

    assert "the quarry is shut" in done.stderr
    assert rows["e2e-broken"]["status"] == "error"
    assert rows["e2e-broken"]["reason"] == "build_failed"
    assert rows["e2e-broken"]["container_id"] == ""
    assert "the quarry is shut" in status["last_failure"]["detail"]
    assert rows["e2e-other"]["status"] == "active"


def test_a_plugin_runs_on_while_its_new_image_does_not_build(
    instance: Instance, workshop: Workshop
) -> None:
    folder = workshop.small("e2e-one")
    instance.up()
    before = instance.containers()
    good = (folder / "Dockerfile").read_text()
    (folder / "Dockerfile").write_text(BROKEN)
    done = instance.up(expect=76)
    during = instance.containers()
    answer = instance.run("call", "e2e-one", '{"old": 1}', expect=None)
    (folder / "Dockerfile").write_text(good)
    instance.up()

    assert "the quarry is shut" in done.stderr
    assert during == before
    # The old revision is no longer what is wanted: it runs, and takes no calls of the new one.
    assert answer.returncode in {0, 69}
    assert instance.containers() == before
    assert instance.ps()["e2e-one"]["status"] == "active"


def test_an_entry_point_that_does_not_exist_is_named(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.script("e2e-absent", "", info={"entry_point": "no_such_module:Plugin"})
    workshop.small("e2e-command", info={"entry_point": "/plugin/no-such-file"})
    done = instance.up(expect=76)
    rows = instance.ps()
    logs = [instance.run("logs", name).stdout for name in ("e2e-absent", "e2e-command")]

    assert {row["status"] for row in rows.values()} == {"error"}
    assert rows["e2e-command"]["reason"] == "exit_code_127"
    assert "no_such_module" in logs[0]
    assert "/plugin/no-such-file" in logs[1]
    assert "e2e-absent: " in done.stderr
    assert "e2e-command: " in done.stderr


def test_what_a_plugin_says_when_it_refuses_to_start_is_shown(instance: Instance) -> None:
    instance.manifest(
        "e2e-worker", build=PLUGINS / "worker", config={"refuse": "the moon is not full"}
    )
    done = instance.up(expect=76)
    row = instance.ps()["e2e-worker"]

    assert "the moon is not full" in done.stderr
    assert (row["status"], row["reason"]) == ("error", "initialize_refused")
    assert "the moon is not full" in row["detail"]


def test_a_plugin_that_never_dials_in_fails_at_its_start_deadline(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.script("e2e-deaf", DEAF)
    instance.policy(lifecycle={"start_deadline_seconds": 2, "stop_grace_seconds": 1})
    done = instance.up(expect=76)
    row = eventually(lambda: _failed(instance, "e2e-deaf"))

    assert "within 2 s" in done.stderr
    assert row["reason"] == "start_deadline"
    assert "control 0/1" in row["detail"]


def _failed(instance: Instance, plugin_id: str) -> dict[str, str] | None:
    row = instance.ps()[plugin_id]
    return row if row["reason"] else None


@pytest.fixture
def little_disk(instance: Instance) -> Iterator[Path]:
    """The instance's home on a disk of two MiB."""
    instance.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(instance.home)]
    subprocess.run(mount, check=True)
    yield instance.home
    instance.destroy()
    subprocess.run(["umount", "--lazy", str(instance.home)], check=True)


def test_a_full_disk_is_told_as_such_and_mended_by_room(
    instance: Instance, workshop: Workshop, little_disk: Path
) -> None:
    workshop.small("e2e-one")
    fill = os.open(little_disk / "fill", os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while True:
            os.write(fill, bytes(4_096))
    os.close(fill)
    done = instance.up(expect=74)
    (little_disk / "fill").unlink()
    instance.up()

    assert (
        f"[disk_full] state folder: found 0 bytes free on the disk of {little_disk}" in done.stderr
    )
    assert instance.call("e2e-one", {"room": 1}) == {"room": 1}


def test_a_home_that_cannot_be_a_folder_is_told_as_such(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.home.write_text("a file")
    done = instance.up(expect=69)
    instance.home.unlink()

    assert "[daemon_did_not_start] state folder: found " in done.stderr
    assert "Traceback" not in done.stderr
