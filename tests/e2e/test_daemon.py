"""The daemon may end at any instruction: plugins run on, and the next one goes on where it was."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.support.instance import PLUGINS, Instance, engine, eventually, new_name
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


def kill_daemon(instance: Instance) -> None:
    for pid in instance.processes():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not instance.processes())


def started(instance: Instance) -> dict[str, str]:
    return {
        name: instance.inspect(name)["State"]["StartedAt"] for name in sorted(instance.containers())
    }


def test_a_killed_daemon_leaves_plugins_running_and_the_next_one_adopts_them(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    workshop.small("e2e-two")
    instance.up()
    containers, times = instance.containers(), started(instance)
    kill_daemon(instance)
    with engine() as client:
        alive = [client.inspect_container(c)["State"]["Running"] for c in containers.values()]
    # Another folder says nothing of the two: what was wanted of them is remembered.
    (instance.folder / "more").mkdir()
    (instance.manifests / "e2e-two.yaml").rename(instance.folder / "more" / "e2e-two.yaml")
    since = time.monotonic()
    instance.run("up", "--detach", str(instance.manifests / "e2e-one.yaml"))
    answer = eventually(lambda: _answer(instance, "e2e-two"), every=0.0)
    took = time.monotonic() - since

    assert alive == [True, True]
    assert answer == '{"are you": "there"}\n'
    assert took < 15.0
    assert instance.containers() == containers
    assert started(instance) == times
    assert {row["restarts"] for row in instance.ps().values()} == {0}


def _answer(instance: Instance, plugin_id: str) -> str:
    return instance.run("call", plugin_id, '{"are you": "there"}', expect=None).stdout


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4, 0.7])
def test_a_daemon_killed_while_it_brings_plugins_up_is_made_good_by_the_next(
    instance: Instance, workshop: Workshop, seconds: float
) -> None:
    workshop.small("e2e-one", info={"permissions": ["file_system_write"]})
    workshop.small("e2e-two", info={"dependencies": ["e2e-one"]})
    workshop.small("e2e-three", permissions=["file_system_write"], info=_WRITES)
    instance.run("up", "--detach", str(instance.manifests))
    time.sleep(seconds)
    kill_daemon(instance)
    done = instance.up()
    rows = instance.ps()
    with engine() as client:
        chosen = {"label": f"orchestrator.instance={instance.name}"}
        count = len(client.containers(all=True, filters=chosen))

    assert "error" not in done.stderr
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(
        ("e2e-one", "e2e-two", "e2e-three"), "active"
    )
    assert (count, len(instance.volumes()), len(instance.loop_devices())) == (3, 1, 1)
    assert instance.call("e2e-two", {"answers": True}) == {"answers": True}


_WRITES = {"permissions": ["file_system_write"]}


def test_sigterm_lets_a_running_call_finish_and_leaves_the_plugins(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.up()
    containers = instance.containers()
    [pid] = instance.processes()
    call = subprocess.Popen(
        [
            *(sys.executable, "-m", "orchestrator"),
            *("call", "e2e-one", '{"seconds": 8}', "--tool", "sleep"),
        ],
        env=instance.environment(),
        stdout=subprocess.PIPE,
    )
    eventually(lambda: instance.status("e2e-one")["calls_in_flight"] == 1, every=0.02)
    os.kill(pid, signal.SIGTERM)
    out, _ = call.communicate(timeout=60)
    eventually(lambda: not instance.processes())
    gone = instance.run("ps", expect=69)
    with engine() as client:
        running = client.inspect_container(containers["e2e-one"])["State"]["Running"]

    assert (call.returncode, out) == (0, b'{"slept":8}\n')
    assert "[daemon_not_running]" in gone.stderr
    assert running
    assert not (instance.home / instance.name / "daemon.sock").exists()


def test_a_second_daemon_of_one_instance_refuses_and_disturbs_nothing(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.up()
    first = instance.processes()
    second = subprocess.run(
        [sys.executable, "-m", "orchestrator.daemon", "--instance", instance.name],
        env=instance.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert second.returncode == 1
    assert f"a daemon of instance '{instance.name}' runs already" in second.stderr
    assert instance.processes() == first
    assert instance.call("e2e-one", {"still": 1}) == {"still": 1}


def test_only_the_operator_reaches_the_daemon(instance: Instance, workshop: Workshop) -> None:
    workshop.small("e2e-one")
    instance.up()
    folder = instance.home / instance.name

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "daemon.sock").stat().st_mode) == 0o600


@pytest.fixture
def neighbour(instance: Instance, request: pytest.FixtureRequest) -> Iterator[Instance]:
    """The same manifests under another name, or the same name in another home."""
    made = Instance(instance.folder, new_name() if request.param == "name" else instance.name)
    if request.param == "home":
        made.home = instance.folder / "other-home"
    yield made
    made.destroy()
    left = made.left_over()
    made.purge()
    assert left == []


@pytest.mark.parametrize("neighbour", ["name", "home"], indirect=True)
def test_instances_side_by_side_do_not_touch_each_other(
    instance: Instance, neighbour: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one", info=_WRITES, permissions=["file_system_write"])
    instance.up()
    mine, my_disk = instance.containers(), instance.volumes()
    neighbour.up()
    theirs, their_disk = neighbour.containers(), neighbour.volumes()
    after_up = (instance.containers(), instance.volumes())
    neighbour.down()
    after_down = (instance.containers(), instance.volumes())

    assert mine["e2e-one"] != theirs["e2e-one"]
    assert (len(my_disk), len(their_disk)) == (1, 1)
    assert my_disk != their_disk
    assert after_up == after_down == (mine, my_disk)
    assert neighbour.left_over() == []
    assert instance.call("e2e-one", {"still": 1}) == {"still": 1}
    assert instance.ps()["e2e-one"]["restarts"] == 0


def _worker(instance: Instance) -> Path:
    return instance.manifest(
        "e2e-worker", build=PLUGINS / "worker", permissions=["file_system_write"]
    )


def test_down_leaves_nothing_but_the_data_and_with_volumes_not_even_that(
    instance: Instance,
) -> None:
    _worker(instance)
    instance.up()
    instance.call("e2e-worker", {"text": "safe"}, tool="remember")
    disks = (instance.volumes(), len(instance.loop_devices()))
    instance.down(volumes=False)
    kept = instance.left_over()
    instance.up()
    text = instance.call("e2e-worker", tool="recall")
    instance.down()
    nothing = instance.left_over()
    instance.up()

    assert (len(disks[0]), disks[1]) == (1, 1)
    assert [line for line in kept if not line.startswith(("volume ", "loop device "))] == []
    assert f"volume {disks[0][0]}" in kept
    assert text == {"text": "safe"}
    assert nothing == []
    assert instance.call("e2e-worker", tool="recall") == {"text": None}


def test_down_removes_all_that_a_killed_daemon_left(instance: Instance) -> None:
    _worker(instance)
    instance.up()
    kill_daemon(instance)
    before = instance.left_over()
    done = instance.run("down", "--volumes")
    again = instance.run("down", "--volumes")

    assert any(line.startswith("container ") for line in before)
    assert instance.left_over() == []
    assert "1 plugins stopped" in done.stdout
    assert "0 plugins stopped" in again.stdout


def test_calls_during_a_change_of_daemon_fail_cleanly_or_are_answered(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.up()
    codes: set[int] = set()

    def call() -> None:
        for _ in range(8):
            codes.add(instance.run("call", "e2e-one", expect=None).returncode)

    caller = Thread(target=call)
    caller.start()
    kill_daemon(instance)
    instance.up()
    caller.join()

    assert codes <= {0, 69}
    assert instance.call("e2e-one", {"now": 1}) == {"now": 1}
