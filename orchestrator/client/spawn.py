"""Starting the daemon as a process of its own until it answers, and waiting for its end."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from orchestrator.client.client import DaemonClient
from orchestrator.errors import Kind, OrchestratorError

START_SECONDS: Final = 30.0
END_SECONDS: Final = 30.0
LOG_LINES: Final = 8

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
    """Start the daemon; its pid. Raises DaemonDidNotStart."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
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
    client = DaemonClient(socket)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if client.is_running():
            process.returncode = 0  # it is nobody's child to wait for from here on
            return process.pid
        if process.poll() is not None:
            break
        time.sleep(0.02)
    else:
        process.kill()
        process.wait()
    tail = log_file.read_text(errors="replace").splitlines()[-LOG_LINES:]
    raise DaemonDidNotStart(
        f"the daemon did not start (log: {log_file}):\n" + "\n".join(f"  {line}" for line in tail)
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
