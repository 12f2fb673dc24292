"""Yard: an instance whose daemons are started quickly, killed, and looked at from outside."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import docker
import yaml

from orchestrator.client.client import DaemonClient, DaemonNotRunning
from orchestrator.client.problem import DaemonProblem
from tests.support.instance import ROOT, Instance, eventually

SECONDS: Final = 90.0
"""No wait of a test is longer, on however busy a machine."""


WRITES: Final = "file_system_write"


class Yard:
    """One instance; its daemons are those of tests/chaos/daemon.py."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.client = DaemonClient(self.home / "daemon.sock")
        self.pid = 0
        self._engine = docker.APIClient(instance.variables.get("DOCKER_HOST"))
        self._arm = instance.folder / "arm"
        self._starter: subprocess.Popen[str]

    @property
    def home(self) -> Path:
        """The state folder."""
        return self.instance.home / self.instance.name

    @contextmanager
    def open(self) -> Iterator["Yard"]:
        """Daemons can be started while it is open; the last one ends with it."""
        self._starter = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.daemon", self._arm),
                *("--instance", self.instance.name),
            ],
            env=self.instance.environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield self
        finally:
            self.kill()
            self._starter.communicate("")
            self._engine.close()

    # -- the daemon -----------------------------------------------------------------------------

    def start(self) -> None:
        """Another daemon, until it answers."""
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write("start\n")
        self._starter.stdin.flush()
        self.pid = int(self._starter.stdout.readline())
        eventually(self.client.is_running, seconds=SECONDS, every=0.01)

    def kill(self) -> None:
        """`kill -9`."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            eventually(lambda: not self.lives, seconds=SECONDS, every=0.005)

    @property
    def lives(self) -> bool:
        return self.pid > 0 and Path(f"/proc/{self.pid}/stat").exists()

    def arm(self, moment: str) -> None:
        """Kill at that boundary, counted from now: `before 7`, say."""
        fresh = self._arm.with_suffix(".new")
        fresh.write_text(moment)
        fresh.replace(self._arm)

    def disarm(self) -> None:
        self._arm.unlink(missing_ok=True)

    @property
    def said(self) -> str:
        """Where the last daemon was killed."""
        path = self._arm.with_suffix(".said")
        return path.read_text().splitlines()[-1] if path.exists() else ""

    # -- what is wanted and what there is -------------------------------------------------------

    def up(self) -> None:
        config = self.instance.config
        self.client.apply([self.instance.manifests], config if config.exists() else None)

    @property
    def wanted(self) -> list[str]:
        return [name for name, _ in self._versions()]

    @property
    def disks_wanted(self) -> int:
        """How many plugins have a disk of their own by the user's files."""
        return sum(WRITES in each["spec"].get("permissions", ()) for each in self._manifests())

    def _manifests(self) -> list[dict[str, Any]]:
        paths = self.instance.manifests.glob("*.yaml")
        return [yaml.safe_load(path.read_text()) for path in paths]

    def _versions(self) -> list[tuple[str, str]]:
        """(plugin, its version), as the user's files say."""
        folders = {
            each["metadata"]["name"]: Path(each["spec"]["source"]["build"])
            for each in self._manifests()
        }
        return sorted(
            (name, yaml.safe_load((folder / "plugin.yaml").read_text())["version"])
            for name, folder in folders.items()
        )

    def rows(self) -> list[dict[str, Any]]:
        return self.client.plugins()

    def containers(self) -> list[dict[str, Any]]:
        """All that carry the instance's labels, as the engine has them."""
        found = self._engine.containers(all=True, filters=self.instance._chosen())
        return [*found]

    def log_of(self, plugin_id: str) -> list[str]:
        """All that its one container wrote."""
        [container] = [
            c for c in self.containers() if c["Labels"]["orchestrator.plugin"] == plugin_id
        ]
        log: bytes = self._engine.logs(container["Id"])
        return log.decode().splitlines()

    def amiss(self) -> list[str]:
        """What is not as the manifests have it."""
        found = [
            f"{row['plugin_id']}: {row['status']} {row['detail']}"
            for row in self.rows()
            if (row["status"], row["detail"]) != ("active", "running")
        ]
        labels = [container["Labels"] for container in self.containers()]
        there = sorted(
            (each["orchestrator.plugin"], each["orchestrator.version"]) for each in labels
        )
        due = self._versions()
        return [*found, *([f"found {there}, expected {due}"] if there != due else [])]

    def converged(self) -> None:
        """Until all is as it should be; says what is not, if that takes too long."""
        last: list[str] = []

        def well() -> bool:
            last[:] = self.amiss()
            return not last

        try:
            eventually(well, seconds=SECONDS, every=0.02)
        except AssertionError as error:
            raise AssertionError(f"{last}\n{self.instance.log()}") from error

    def killed_or_converged(self) -> None:
        """Until the daemon that was armed came to its boundary, or has none left."""

        def over() -> bool:
            if not self.lives:
                return True
            try:
                return not self.amiss()
            except (DaemonNotRunning, DaemonProblem):
                return False

        eventually(over, seconds=SECONDS, every=0.02)

    def left_over(self) -> list[str]:
        """What belongs to no plugin that runs. All has converged."""
        networks = self._engine.networks(filters=self.instance._chosen())
        containers = self.containers()
        sandboxes = {c["Labels"]["orchestrator.sandbox"] for c in containers}
        names = sorted(c["Labels"]["orchestrator.plugin"] for c in containers)
        states = [c["State"] for c in containers if c["State"] != "running"]
        folders = [*(self.home / "sockets").glob("*"), *self._secrets().glob("*")]
        return [
            *([f"containers of {names}"] if names != self.wanted else []),
            *(f"a container is {state}" for state in states),
            *(f"network {network['Name']}" for network in networks),
            *(f"folder {path}" for path in folders if path.name not in sandboxes),
            *(f"mount {line}" for line in self._mounts()),
        ]

    def _secrets(self) -> Path:
        [owner] = [label for label in self.instance._chosen()["label"] if ".owner=" in label]
        name = f"orchestrator-{self.instance.name}-{owner.partition('=')[2]}"
        return Path("/dev/shm") / name

    def _mounts(self) -> list[str]:
        """The instance's own on the host; disks are the engine's."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        mine = [line for line in lines if self.instance.name in line]
        return [line for line in mine if not any(v in line for v in self.instance.volumes())]

    def echo(self, plugin_id: str) -> int:
        """The status of a call; whoever answers it with 200 answers it right."""
        body = b'{"well":1}'
        result = self.client.call(
            plugin_id, body, content_type="application/json", tool="echo", timeout_seconds=None
        )
        assert result.status != 200 or result.body == body
        return result.status

    def audit_is_whole(self) -> bool:
        return bool(self.client.audit_verify()["intact"])
