"""`up` without --detach: it stays, and Ctrl-C takes the plugins down."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.instance import PLUGINS, Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

COLOUR = b"\x1b["


def up_in_foreground(
    instance: Instance, *, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "up", str(instance.manifests)],
        env={**instance.environment(), "TERM": "xterm"},
        cwd=instance.folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def is_up(instance: Instance, plugin_id: str) -> bool:
    done = instance.run("ps", "--json", expect=None)
    return done.returncode == 0 and plugin_id in done.stdout and '"active"' in done.stdout


def test_ctrl_c_takes_the_plugins_down_and_keeps_their_data(instance: Instance) -> None:
    instance.manifest("e2e-worker", build=PLUGINS / "worker", permissions=["file_system_write"])
    process = up_in_foreground(instance)
    eventually(lambda: is_up(instance, "e2e-worker"), seconds=60)
    instance.call("e2e-worker", {"text": "safe"}, tool="remember")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    left = (instance.containers(), instance.processes(), len(instance.volumes()))
    instance.up()

    assert process.returncode == 0
    assert b"e2e-worker" in out
    assert b"e2e-worker" in err
    assert b"stopping the plugins" in err
    assert b"stopping the plugins" not in out
    assert COLOUR not in out + err
    assert left == ({}, [], 1)
    assert instance.call("e2e-worker", tool="recall") == {"text": "safe"}


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.6])
def test_ctrl_c_before_all_is_up_takes_down_what_is_there(
    instance: Instance, workshop: Workshop, seconds: float
) -> None:
    workshop.small("e2e-one")
    workshop.small("e2e-two", info={"dependencies": ["e2e-one"]})
    process = up_in_foreground(instance)
    eventually(instance.processes, every=0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    # 130: the daemon did not even answer yet.
    assert process.returncode in {0, 130}
    assert (instance.containers(), instance.processes()) == ({}, [])


def test_ctrl_c_leaves_alone_what_another_up_started(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    instance.up()
    before = (instance.containers(), instance.processes())
    process = up_in_foreground(instance, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    out = read_until(process.stdout.fileno(), b"Ctrl-C leaves them running")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert b"Ctrl-C leaves them running" in out
    assert (instance.containers(), instance.processes()) == before


def test_a_terminal_gets_colours_and_its_ctrl_c_works(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one")
    master, slave = pty.openpty()
    process = up_in_foreground(instance, stdout=slave, stderr=slave)
    os.close(slave)
    shown = read_until(master, b"Ctrl-C stops and removes them")
    process.send_signal(signal.SIGINT)
    shown += read_until(master, None)
    process.wait(timeout=60)
    os.close(master)

    assert process.returncode == 0
    assert COLOUR in shown
    assert b"e2e-one" in shown
    assert (instance.containers(), instance.processes()) == ({}, [])


def read_until(terminal: int, text: bytes | None) -> bytes:
    """What the terminal shows until it says `text`, or until it is closed."""
    shown = b""
    while text is None or text not in shown:
        try:
            piece = os.read(terminal, 4_096)
        except OSError:  # the last process on it is gone
            break
        if not piece:
            break
        shown += piece
    return shown


def test_output_to_a_file_has_no_colours(instance: Instance, workshop: Workshop) -> None:
    workshop.small("e2e-one")
    done = instance.up()
    shown = [instance.run(*words).stdout for words in (["ps"], ["status"], ["status", "e2e-one"])]

    assert "\x1b" not in "".join([done.stdout, done.stderr, *shown])
    assert Path(instance.status()["log_file"]).is_file()
