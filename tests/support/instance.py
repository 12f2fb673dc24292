"""Instance: one orchestrator with a home, a name and manifests of its own, driven by its command.

Everything goes through the real command line in processes of its own; nothing is reached into.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import yaml

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "tests" / "plugins"
EXAMPLES = ROOT / "plugin_images"

PATIENCE = float(os.environ.get("TESTS_PATIENCE", "1"))
"""How many times longer than usual all may take: a processor that is emulated is slow."""
UP_SECONDS = 300.0
"""Images are built meanwhile, on a machine that may have other things to do."""


class Instance:
    """Made by the fixture `instance`, which takes everything down afterwards."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.home = folder / "home"
        self.manifests = folder / "manifests"
        self.manifests.mkdir(parents=True, exist_ok=True)
        self.config = folder / "orchestrator.yaml"
        self.folder = folder
        self.variables: dict[str, str] = {}
        """What the user has set in the environment beside."""
        self._refused = ""
        """What the last `destroy` said if it did not do all of it."""
        self.wrapper: list[str] = []
        """What the user starts the command with, as in `nice orchestrator …`."""

    # -- what a user writes ---------------------------------------------------------------------

    def manifest(self, name: str, *, build: Path | None = None, **spec: Any) -> Path:
        """Write manifests/<name>.yaml; `spec` is what follows `source`."""
        source = spec.pop("source", None) or {"build": str(build or PLUGINS / name)}
        path = self.manifests / f"{name}.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "orchestrator/v1",
                    "kind": "Plugin",
                    "metadata": {"name": name},
                    "spec": {"source": source, **spec},
                }
            )
        )
        return path

    def policy(self, **policy: Any) -> None:
        """Write orchestrator.yaml."""
        self.config.write_text(yaml.safe_dump({"policy": policy}))

    # -- what a user types ----------------------------------------------------------------------

    def run(
        self, *arguments: str, expect: int | None = 0, stdin: bytes = b"", timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """`orchestrator ARGUMENTS`; fails unless it exits with `expect` (None: whatever)."""
        done = subprocess.run(
            [*self.wrapper, sys.executable, "-m", "orchestrator", *arguments],
            input=stdin,
            capture_output=True,
            env=self.environment(),
            cwd=self.folder,
            timeout=timeout * PATIENCE,
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        if expect is not None and result.returncode != expect:
            message = f"{arguments} exited with {result.returncode}, expected {expect}"
            raise AssertionError(f"{message}\n{result.stdout}\n{result.stderr}\n{self.log()}")
        return result

    def environment(self) -> dict[str, str]:
        """A user's environment, with this instance chosen."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")},
            "ORCHESTRATOR_HOME": str(self.home),
            "ORCHESTRATOR_INSTANCE": self.name,
            **self.variables,
        }

    def up(self, *more: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`orchestrator up --detach --wait`."""
        arguments = ("up", "--detach", "--wait", str(self.manifests), *more)
        return self.run(*arguments, expect=expect, timeout=UP_SECONDS)

    def down(self, *, volumes: bool = True) -> None:
        self.run("down", *(["--volumes"] if volumes else []))

    def call(
        self, plugin: str, value: Any = None, *more: str, tool: str | None = None, expect: int = 0
    ) -> Any:
        """`orchestrator call`; the answer's JSON, or the error's text when failure is expected."""
        chosen = ["--tool", tool] if tool else []
        done = self.run("call", plugin, json.dumps(value or {}), *chosen, *more, expect=expect)
        return json.loads(done.stdout) if expect == 0 else done.stderr

    def ps(self) -> dict[str, dict[str, Any]]:
        """`orchestrator ps --json`, by plugin."""
        rows = json.loads(self.run("ps", "--json").stdout)
        return {row["plugin_id"]: row for row in rows}

    def status(self, plugin: str | None = None) -> dict[str, Any]:
        """`orchestrator status --json`."""
        answer: dict[str, Any] = json.loads(
            self.run("status", *([plugin] if plugin else []), "--json").stdout
        )
        return answer

    def plan(self, *, expect: int | None = None) -> list[dict[str, Any]]:
        """`orchestrator plan --json`."""
        done = self.run("plan", "--json", str(self.manifests), expect=expect)
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    # -- what the world shows -------------------------------------------------------------------

    def inspect(self, plugin: str) -> dict[str, Any]:
        """`docker inspect` of the plugin's container."""
        with engine() as client:
            found: dict[str, Any] = client.inspect_container(self.ps()[plugin]["container_id"])
        return found

    def daemon_pid(self) -> int:
        pid: int = self.status()["pid"]
        return pid

    def log(self) -> str:
        """The end of the daemon's log."""
        path = self.home / self.name / "daemon.log"
        return "\n".join(path.read_text().splitlines()[-30:]) if path.exists() else ""

    def containers(self) -> dict[str, str]:
        """Plugin → container id of every container that carries the instance's labels."""
        with engine() as client:
            found = client.containers(all=True, filters=self._chosen())
        labelled = ((c["Labels"].get("orchestrator.plugin"), c["Id"]) for c in found)
        return {plugin: container_id for plugin, container_id in labelled if plugin}

    def containers_of(self, plugin: str) -> dict[str, str]:
        """Container id → state of every container of one plugin."""
        with engine() as client:
            found = client.containers(all=True, filters=self._chosen())
        mine = (c for c in found if c["Labels"].get("orchestrator.plugin") == plugin)
        return {c["Id"]: c["State"] for c in mine}

    def volumes(self) -> list[str]:
        """Names of the volumes that carry the instance's label."""
        with engine() as client:
            return [v["Name"] for v in client.volumes(filters=self._chosen())["Volumes"] or []]

    def left_over(self) -> list[str]:
        """All that an instance may have made and that should be gone after `down --volumes`."""
        with engine() as client:
            containers = client.containers(all=True, filters=self._chosen())
            networks = client.networks(filters=self._chosen())
        return [
            *([self._refused] if self._refused else []),
            *(f"container {c['Names'][0]}" for c in containers),
            *(f"network {n['Name']}" for n in networks),
            *(f"volume {name}" for name in self.volumes()),
            *(f"loop device {line}" for line in self.loop_devices()),
            *(f"socket {path}" for path in (self.home / self.name).rglob("*") if path.is_socket()),
            *(f"process {pid}" for pid in self.processes()),
        ]

    def loop_devices(self) -> list[str]:
        """Lines of `losetup` about disks of this instance."""
        if shutil.which("losetup") is None:
            return []
        done = subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if f"{self.home / self.name}/" in line]

    def processes(self) -> list[int]:
        """Daemons of this home and name; the environment tells whose they are."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_daemon(path)]

    def _is_daemon(self, process: Path) -> bool:
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return (
            b"orchestrator.daemon" in arguments
            and self.name.encode() in arguments
            and f"ORCHESTRATOR_HOME={self.home}".encode() in environment
            and state != "Z"
        )

    def _chosen(self) -> dict[str, list[str]]:
        """Instances of one name in two homes differ in their owner."""
        owner = hashlib.sha256(str(self.home / self.name).encode()).hexdigest()[:8]
        return {
            "label": [f"orchestrator.instance={self.name}", f"orchestrator.owner={owner}"],
        }

    def destroy(self) -> None:
        """`down --volumes`."""
        done = self.run("down", "--volumes", expect=None)
        if done.returncode != 0:
            self._refused = f"down ended with {done.returncode}: {done.stdout}{done.stderr}"

    def purge(self) -> None:
        """By force what `down` left, so that one failure does not bring others."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        with engine() as client:
            for container in client.containers(all=True, filters=self._chosen()):
                client.remove_container(container["Id"], force=True)
            for network in client.networks(filters=self._chosen()):
                client.remove_network(network["Id"])
            for name in self.volumes():
                client.remove_volume(name, force=True)
        for line in self.loop_devices():
            subprocess.run(["losetup", "--detach", line.partition(":")[0]], check=False)


@contextlib.contextmanager
def engine() -> Iterator[docker.APIClient]:
    """A low-level client of the real engine."""
    client = docker.APIClient()
    try:
        yield client
    finally:
        client.close()


def new_name() -> str:
    """An instance's name that no other test run has."""
    return f"t{uuid.uuid4().hex[:10]}"


def eventually(check: Callable[[], Any], *, seconds: float = 20.0, every: float = 0.1) -> Any:
    """The first true value of `check`; fails after `seconds`."""
    until = time.monotonic() + seconds * PATIENCE
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s; last value: {value!r}")
        time.sleep(every)
