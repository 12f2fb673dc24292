"""The daemon in a container of its own: driven from the host, and followed by another one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance import ROOT, Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

ENGINE = Path("/var/run/docker.sock")
USER = 65_533
"""Nobody in particular, and not root."""


@pytest.fixture(scope="module")
def image() -> str:
    """Made once for all that is in it."""
    done = subprocess.run(
        [sys.executable, ROOT / "packaging" / "image" / "build.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class Box:
    """The daemon's container, as docs/operations.md has it started."""

    name: str
    image: str
    house: Instance

    def run(self, *, home: Path | None = None) -> str:
        """`docker run`; its log if it does not stay."""
        folder = self.house.folder
        volumes = [(folder, folder), (Path("/dev/shm"), Path("/dev/shm")), (ENGINE, ENGINE)]
        if home is not None:
            volumes[0] = (home, folder)
        command = [
            *("docker", "run", "--detach", "--name", self.name, "--read-only", "--tmpfs", "/tmp"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"),
            *("--user", f"{USER}:{USER}", "--group-add", str(ENGINE.stat().st_gid)),
            *("--health-interval", "1s", "--env", f"ORCHESTRATOR_HOME={self.house.home}"),
            *(word for source, target in volumes for word in ("--volume", f"{source}:{target}")),
            *("--env", f"ORCHESTRATOR_INSTANCE={self.house.name}", self.image),
        ]
        subprocess.run(command, check=True, capture_output=True)
        return self.name

    def inspect(self) -> dict[str, Any]:
        with engine() as client:
            found: dict[str, Any] = client.inspect_container(self.name)
        return found

    def is_healthy(self) -> bool:
        state = self.inspect()["State"]
        assert state["Running"], self.log()
        return bool(state["Health"]["Status"] == "healthy")

    def log(self) -> str:
        with engine() as client:
            return bytes(client.logs(self.name)).decode()

    def remove(self) -> None:
        with engine() as client:
            client.remove_container(self.name, force=True)


@pytest.fixture
def box(instance: Instance, image: str) -> Iterator[Box]:
    instance.folder.chmod(0o755)
    instance.home.mkdir()
    os.chown(instance.home, USER, USER)
    made = Box(f"{instance.name}-daemon", image, instance)
    yield made
    made.remove()


def test_the_daemon_in_a_container_runs_plugins_and_its_successor_takes_them_over(
    box: Box, instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    box.run()
    eventually(box.is_healthy, seconds=120)
    up = instance.up()
    containers = instance.containers()
    answer = instance.call("e2e-one", {"in": "a box"})
    facts = instance.status()
    stopping = instance.run("daemon", "stop", expect=73)
    with engine() as client:
        client.restart(box.name, timeout=30)
    # The command waits for a daemon that comes, and that one for its plugins.
    eventually(lambda: instance.run("daemon", "status", expect=None).returncode == 0, seconds=60)
    again = instance.call("e2e-one", {"still": 1})

    assert "started (pid" not in up.stderr  # nobody on the host
    assert facts["supervisor"] == "docker"
    assert "`docker stop` of its container" in stopping.stderr
    assert (answer, again) == ({"in": "a box"}, {"still": 1})
    assert instance.containers() == containers
    assert instance.ps()["e2e-one"]["restarts"] == 0
    assert box.inspect()["State"]["Running"]
    assert "is up, pid" in box.log()


def test_a_daemon_that_sees_its_state_elsewhere_than_the_host_does_not_start(
    box: Box, instance: Instance, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    box.run(home=elsewhere)
    eventually(lambda: not box.inspect()["State"]["Running"], seconds=60)

    assert box.inspect()["State"]["ExitCode"] == 1
    folder = instance.home / instance.name
    assert f"state folder: found {folder} of this container at {elsewhere}" in box.log()
    assert (
        f"expected the same path, since plugins mount it: --volume {folder}:{folder}" in box.log()
    )
    assert list(elsewhere.iterdir()) == []
