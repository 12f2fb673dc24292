"""A second Docker engine of the test's own, which may be killed: others use the machine's."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from tests.support.instance import eventually

SECONDS = 120.0
_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/run-containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/containerd.sock"
"""


class SecondEngine:
    """dockerd and containerd with folders and sockets of their own; no network but loopback.

    As on a machine where each is a service: killing dockerd does not kill containerd.
    """

    def __init__(self, folder: Path, *, live_restore: bool) -> None:
        self.address = f"unix://{folder}/docker.sock"
        self.live_restore = live_restore
        self._folder = folder
        self._containerd: subprocess.Popen[bytes] | None = None
        self._dockerd: subprocess.Popen[bytes] | None = None
        (folder / "daemon.json").write_text("{}")  # not the machine's own
        (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder))

    def start(self) -> None:
        """Until it answers."""
        folder = self._folder
        if self._containerd is None:
            self._containerd = self._run("containerd", "--config", folder / "containerd.toml")
            eventually((folder / "containerd.sock").exists, seconds=SECONDS)
        (folder / "docker.pid").unlink(missing_ok=True)
        # In a network of its own: an engine without a bridge takes the machine's docker0 away.
        self._dockerd = self._run(
            *("unshare", "--net", "dockerd", "--host", self.address),
            *("--pidfile", folder / "docker.pid"),
            *("--containerd", folder / "containerd.sock", "--config-file", folder / "daemon.json"),
            *("--data-root", folder / "root", "--exec-root", folder / "run"),
            *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
            *(["--live-restore"] if self.live_restore else []),
        )
        eventually(self._answers, seconds=SECONDS)

    def _run(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        assert self._dockerd is not None
        assert self._dockerd.poll() is None, (self._folder / "log").read_text()[-2_000:]
        asked = ["docker", "--host", self.address, "version"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    @contextmanager
    def client(self) -> Iterator[docker.APIClient]:
        made = docker.APIClient(self.address)
        try:
            yield made
        finally:
            made.close()

    def load(self, tag: str) -> None:
        """The machine's own image of that name, if it has one: making one takes a while."""
        with subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE) as saved:
            load = ["docker", "--host", self.address, "load", "--quiet"]
            subprocess.run(load, stdin=saved.stdout, capture_output=True, check=False)

    def kill(self) -> None:
        """`kill -9`."""
        assert self._dockerd is not None
        self._dockerd.send_signal(signal.SIGKILL)
        self._dockerd.wait()

    def end(self) -> None:
        """In order, and all that it made."""
        if self._dockerd is not None and self._dockerd.poll() is None:
            with self.client() as client:
                for container in client.containers(all=True):
                    client.remove_container(container["Id"], force=True)
        for service in (self._dockerd, self._containerd):
            if service is not None and service.poll() is None:
                service.terminate()
                service.wait(SECONDS)
        self._purge()

    def _purge(self) -> None:
        """What a killed one left."""
        for process in filter(self._is_mine, Path("/proc").glob("[0-9]*")):
            os.kill(int(process.name), signal.SIGKILL)
        targets = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for target in reversed(targets):
            if target.startswith(f"{self._folder}/"):
                subprocess.run(["umount", "--lazy", target], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_mine(self, process: Path) -> bool:
        """containerd's shims name the folder in their arguments."""
        try:
            return f"{self._folder}/".encode() in (process / "cmdline").read_bytes()
        except OSError:
            return False
