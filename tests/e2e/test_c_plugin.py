"""A plugin without SDK, in C and static, by its image and by its folder: all of its life."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.instance import PLUGINS, Instance, engine, eventually
from tests.support.probe import Probe
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
    sleeper = Probe(deployed, "c-echo")  # in threads: commands take long to start on a busy machine
    since = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(sleeper, "sleep", seconds=1.5) for _ in range(3)]
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
    assert [call.result() for call in calls] == [{"slept": 1.5}] * 3
    # One after the other they would take 4.5 s.
    assert took < 4.0
    assert "[deadline_exceeded]" in late.stderr
    assert after == {"dialled": "again"}
    assert deployed.call("c-echo", {"new": "daemon"}) == {"new": "daemon"}
    assert deployed.containers() == container
    assert deployed.ps()["c-echo"]["restarts"] == 0
