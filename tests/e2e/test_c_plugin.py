"""A plugin without SDK, in C and static, by its image and by its folder: all of its life."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import PLUGINS, Instance, engine, eventually
from tests.support.workshop import PREFIX

pytestmark = pytest.mark.docker

IMAGE = f"orchestrator/{PREFIX}c-echo-image:1"


@pytest.fixture
def folder(tmp_path: Path, binary: Path) -> Path:
    """The plugin's folder as its author has it after `make`."""
    made = tmp_path / "c_echo"
    made.mkdir()
    for name in ("Dockerfile", "plugin.yaml"):
        shutil.copy(PLUGINS / "c_echo" / name, made)
    shutil.copy2(binary, made / "c-echo")
    return made


@pytest.fixture(params=["build", "image"])
def deployed(
    request: pytest.FixtureRequest, instance: Instance, folder: Path, images: None
) -> Iterator[Instance]:
    if request.param == "build":
        instance.manifest("c-echo", build=folder)
    else:
        with engine() as client:
            for line in client.build(path=str(folder), tag=IMAGE, rm=True, decode=True):
                assert "error" not in line
        instance.manifest("c-echo", source={"image": IMAGE})
    instance.up()
    yield instance
    tag = instance.status("c-echo")["image"] if instance.processes() else ""
    instance.down()
    with engine() as client:
        if tag.startswith("orchestrator/c-echo:"):
            client.remove_image(tag)


def test_a_static_binary_is_a_whole_plugin(deployed: Instance) -> None:
    binary_input = deployed.run("call", "c-echo", "-", stdin=b"plain text").stdout
    answer = deployed.call("c-echo", {"x": [1, 2]}, tool="echo")
    since = time.monotonic()
    calls = [_sleep(deployed, 1.5) for _ in range(3)]
    slept = [json.loads(call.communicate(timeout=30)[0]) for call in calls]
    took = time.monotonic() - since
    late = deployed.run(
        *("call", "c-echo", '{"seconds": 60}', "--tool", "sleep", "--timeout", "0.5"), expect=124
    )
    container = deployed.containers()
    time.sleep(1.2)
    after = deployed.call("c-echo", {"dialled": "again"})
    for pid in deployed.processes():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not deployed.processes())
    deployed.up()

    assert binary_input == "plain text"
    assert answer == {"x": [1, 2]}
    assert slept == [{"slept": 1.5}] * 3
    # One after the other they would take 4.5 s.
    assert took < 4.0
    assert "[deadline_exceeded]" in late.stderr
    assert after == {"dialled": "again"}
    assert deployed.call("c-echo", {"new": "daemon"}) == {"new": "daemon"}
    assert deployed.containers() == container
    assert deployed.ps()["c-echo"]["restarts"] == 0


def _sleep(instance: Instance, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "orchestrator", "call", "c-echo"),
            *(json.dumps({"seconds": seconds}), "--tool", "sleep"),
        ],
        env=instance.environment(),
        stdout=subprocess.PIPE,
    )
