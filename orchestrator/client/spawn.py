"""Starting the daemon as a process of its own until it answers, and waiting for its end."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from orchestrator.client.client import DaemonClient
from orchestrator.engine.base import DiskFull
from orchestrator.errors import Kind, OrchestratorError

START_SECONDS: Final = 30.0
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


def spawn(*, folder: Path, socket: Path, log_file: Path, instance: str) -> int:
    """Start the daemon; its pid. Raises DaemonDidNotStart, DiskFull."""
    _make_folder(folder)
    with log_file.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "orchestrator.daemon", "--instance", instance],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**_ALLOCATOR, **os.environ},
            cwd="/",
            start_new_session=True,
        )
    try:
        if _answers(process, DaemonClient(socket)):
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


def _answers(process: subprocess.Popen[bytes], client: DaemonClient) -> bool:
    """Wait until it does; False if it ended, or was ended for being too slow."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if client.is_running():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False


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


def wait_for_end(lock_file: Path) -> None:
    """Until the daemon that was told to end is gone: it holds its lock to the last."""
    until = time.monotonic() + END_SECONDS
    with lock_file.open("a") as file:
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.02)
            else:
                return
