"""A whole daemon as a process of its own, with no engine to talk to: its life needs none."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.client.client import DaemonClient
from orchestrator.client.reach import connect
from tests.support.instance import eventually

# A program in between: LISTEN_PID must be the daemon's own, and its first socket descriptor 3.
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class House:
    """One instance's folder and the daemons that were started in it."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "home" / "default"

    @property
    def path(self) -> Path:
        return self.state / "daemon.sock"

    def listen(self, name: str = "home/default/daemon.sock") -> socket.socket:
        """A socket as systemd makes it before there is a daemon."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        sock.listen(128)
        return sock

    @property
    def client(self) -> DaemonClient:
        return DaemonClient(self.path)

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
        return {
            **kept,
            "ORCHESTRATOR_HOME": str(self.folder / "home"),
            "DOCKER_HOST": f"unix://{self.folder}/no-engine",
            **self.variables,
        }

    def start(self, *more: str, handed: socket.socket | None = None) -> subprocess.Popen[bytes]:
        """The daemon; with `handed` as systemd would start it."""
        command = [sys.executable, "-m", "orchestrator.daemon", "--instance", "default", *more]
        if handed is not None:
            command = [sys.executable, "-c", _HAND_OVER, str(handed.fileno()), *command]
        process = subprocess.Popen(
            command,
            env=self.environment(),
            cwd=self.folder,
            stderr=subprocess.PIPE,
            pass_fds=() if handed is None else (handed.fileno(),),
        )
        self.processes.append(process)
        return process

    def up(self, *more: str) -> subprocess.Popen[bytes]:
        """Started, and answering."""
        process = self.start(*more)
        eventually(lambda: self.pid() == process.pid, seconds=60)
        return process

    def pid(self) -> int:
        """Whose answer it is; 0 for nobody's."""
        if not self.client.is_running():
            return 0
        pid: int = self.client.status()["pid"]
        return pid

    def orchestrator(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def log(self) -> str:
        return (self.state / "daemon.log").read_text()

    def connect(self) -> socket.socket:
        """A caller that does not wait for a daemon."""
        return connect(self.path, 60)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            os.kill(self.pid() or self.processes[-1].pid, 9)  # of a daemon that a command started
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("d"))  # short: systemd binds sockets by their whole path
    yield made
    made.close()
