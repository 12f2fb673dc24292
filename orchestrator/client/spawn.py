"""Starting the daemon as a process of its own until it answers, and waiting for its end."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.client.client import DaemonClient
from orchestrator.engine.base import DiskFull
from orchestrator.errors import Kind, OrchestratorError

START_SECONDS: Final = 30.0
FOLLOW_SECONDS: Final = 430.0
"""More than the daemon before it may take to drain (policy.lifecycle.drain_seconds)."""
_ASK_SECONDS: Final = 5.0
END_SECONDS: Final = 30.0
LOG_LINES: Final = 8
MINIMUM_FREE_BYTES: Final = 256 << 10
"""Records and the beginning of a log."""

# glibc gives big buffers back to the kernel at once and asks for them again at the next large body:
# half the cost of forwarding one.
_ALLOCATOR: Final = {
    "MALLOC_MMAP_THRESHOLD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}


class DaemonDidNotStart(OrchestratorError):
    """The process ended, or did not answer in time; carries the end of its log."""

    kind, code = Kind.UNAVAILABLE, "daemon_did_not_start"


def daemon_command(instance: str, *more: str) -> list[str]:
    """How the daemon is started: our own interpreter and module."""
    return [sys.executable, "-m", "orchestrator.daemon", "--instance", instance, *more]


def daemon_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """With what the daemon's speed asks of the allocator, unless somebody asked for else."""
    return {**_ALLOCATOR, **environment}


def spawn(
    *, folder: Path, socket: Path, log_file: Path, instance: str, follow: bool = False
) -> int:
    """Start the daemon; its pid. Raises DaemonDidNotStart, DiskFull.

    With `follow` it takes the place of the one that runs, as soon as that has ended.
    """
    _make_folder(folder)
    with log_file.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            daemon_command(instance, *(["--follow"] if follow else [])),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=daemon_environment(os.environ),
            cwd="/",
            start_new_session=True,
        )
    try:
        if _answers(process, DaemonClient(socket), follow=follow):
            process.returncode = 0  # it is nobody's child to wait for from here on
            return process.pid
    except BaseException:  # Ctrl-C: what was not there before must not stay
        process.terminate()
        process.wait()
        raise
    tail = log_file.read_text(errors="replace").splitlines()[-LOG_LINES:]
    raise DaemonDidNotStart(
        f"the daemon did not start (log: {log_file}):\n" + "\n".join(f"  {line}" for line in tail)
    )


def _answers(process: subprocess.Popen[bytes], client: DaemonClient, *, follow: bool) -> bool:
    """Wait until it does; False if it ended, or was ended for being too slow."""
    until = time.monotonic() + (FOLLOW_SECONDS if follow else START_SECONDS)
    while time.monotonic() < until:
        # Who follows listens at once, and answers when the other one has ended.
        if _answering_pid(client) == process.pid if follow else client.is_running():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False


def _answering_pid(client: DaemonClient) -> int:
    try:
        return int(client.status(seconds=_ASK_SECONDS)["pid"])
    except OrchestratorError:
        return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise DaemonDidNotStart(
            f"state folder: found {folder} ({error.strerror}), expected a folder to write in; "
            "ORCHESTRATOR_HOME names another"
        ) from error
    # Told here: a daemon on a full disk has no log to say it in.
    if free < MINIMUM_FREE_BYTES:
        raise DiskFull(
            f"state folder: found {free:,} bytes free on the disk of {folder}, "
            f"expected at least {MINIMUM_FREE_BYTES:,}; ORCHESTRATOR_HOME names another"
        )


def wait_for_end(lock_file: Path, *, seconds: float = END_SECONDS) -> bool:
    """Until the daemon that was told to end is gone (it holds its lock to the last); if it is."""
    until = time.monotonic() + seconds
    with lock_file.open("a") as file:
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.02)
            else:
                return True
    return False
