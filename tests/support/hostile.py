"""House: hostile plugins beside a neighbour in one orchestrator, and how the rest of it fares.

The plugin in tests/plugins/hostile speaks the contract by hand; it is deployed under several names
so that what happens to one does not disturb the proof of another.
"""

import contextlib
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.client.client import CallResult, DaemonClient, DaemonNotRunning
from tests.support.instance import PLUGINS, Instance, eventually

GROWN_MIB = 192
"""What the daemon may grow by under any attack: its bounds on bodies and answers, and some."""
DESCRIPTORS = 48
"""How many files the daemon may have opened meanwhile: its clients of the engine keep connections,
more of them with each address that they ask. Attacks open hundreds."""
_RSS = re.compile(r"VmRSS:\s+(\d+) kB")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True, slots=True)
class House:
    """One orchestrator with hostile plugins; `neighbour` is the one that must not notice."""

    instance: Instance
    neighbour: str = "neighbour"

    def plugin(self, name: str, *, info: dict[str, Any] | None = None, **spec: Any) -> None:
        """Deploy the hostile plugin under a name; `info` goes over its metadata."""
        folder = self.instance.folder / "plugins" / name
        shutil.copytree(PLUGINS / "hostile", folder, ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / "plugin.yaml"
        metadata = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**metadata, **(info or {}), "plugin_id": name}))
        self.instance.manifest(name, build=folder, **spec)

    # -- what a test does -----------------------------------------------------------------------

    @property
    def client(self) -> DaemonClient:
        return DaemonClient(self.instance.home / self.instance.name / "daemon.sock")

    def ask(self, plugin: str, do: str = "headers", **more: Any) -> CallResult:
        """Whatever the call comes to; status 0 where the answer had begun and was cut."""
        return self.call(plugin, json.dumps({"do": do, **more}))

    def call(self, plugin: str, body: str, *, tool: str | None = None) -> CallResult:
        """The same with any body."""
        try:
            return self.client.call(
                plugin,
                body.encode(),
                content_type="application/json",
                tool=tool,
                timeout_seconds=None,
            )
        except DaemonNotRunning:
            return CallResult(status=0, content_type="", body=b"")

    def do(self, plugin: str, do: str = "headers", **more: Any) -> Any:
        """The answer of a call that must succeed."""
        result = self.ask(plugin, do, **more)
        assert result.status == 200, result.body[:2_000]
        return json.loads(result.body)

    def dial(self) -> socket.socket:
        """A connection to the daemon's own socket, as the operator's programs have it."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(str(self.instance.home / self.instance.name / "daemon.sock"))
        return sock

    @staticmethod
    def read(sock: socket.socket) -> str:
        """What comes till the end of file, or till it is silent for long."""
        got = b""
        with contextlib.suppress(OSError):
            while piece := sock.recv(65_536):
                got += piece
        return got.decode("latin-1")

    def ask_raw(self, plugin: str, do: str, **more: Any) -> str:
        """All that the daemon sends for a call, to the end of the connection."""
        body = json.dumps({"do": do, **more})
        with self.dial() as sock:
            sock.sendall(
                f"POST /v1/plugins/{plugin}/execute HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            return self.read(sock)

    def status(self, plugin: str) -> dict[str, Any]:
        return self.client.plugin(plugin)

    def refusals(self, plugin: str) -> set[str]:
        """The codes of what was refused to it, as the audit log has them."""
        records = self.client.audit(plugin=plugin, since=None, action=None, count=1_000)
        return {r["data"]["code"] for r in records if r["outcome"] == "refused"}

    # -- how the rest fares ---------------------------------------------------------------------

    @contextlib.contextmanager
    def unharmed(self) -> Iterator["Witness"]:
        """Claims that the daemon and the neighbour are as well after the block as before, and
        that the neighbour answered all the while."""
        before = self._vitals()
        Path(f"/proc/{before.pid}/clear_refs").write_text("5")  # the peak counts from here
        witness = Witness()
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(witness, over))
        thread.start()
        try:
            yield witness
        finally:
            over.set()
            thread.join()
        self._check(before, witness)

    def _watch(self, witness: "Witness", over: threading.Event) -> None:
        while True:
            began = time.monotonic()
            witness.statuses.append(self.ask(self.neighbour).status)
            witness.slowest = max(witness.slowest, time.monotonic() - began)
            if over.wait(0.05):
                return

    def _check(self, before: "_Vitals", witness: "Witness") -> None:
        eventually(lambda: len(_descriptors(before.pid)) <= before.descriptors + DESCRIPTORS)
        after = self._vitals()
        witness.grown_mib = after.peak_mib - before.rss_mib

        assert after.pid == before.pid
        assert set(witness.statuses) == {200}
        assert after.restarts == before.restarts
        assert witness.grown_mib < GROWN_MIB
        assert self._said()[before.said :] == ""

    def _vitals(self) -> "_Vitals":
        pid: int = self.client.status()["pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        return _Vitals(
            pid=pid,
            descriptors=len(_descriptors(pid)),
            rss_mib=_mib(_RSS, status),
            peak_mib=_mib(_PEAK, status),
            restarts=self.status(self.neighbour)["restarts"],
            said=len(self._said()),
        )

    def _said(self) -> str:
        """What the daemon's log holds of trouble of its own."""
        text = (self.instance.home / self.instance.name / "daemon.log").read_text()
        lines = text.splitlines()
        return "\n".join(line for line in lines if re.search(r"ERROR|CRITICAL|Traceback", line))


@dataclass(slots=True)
class Witness:
    """What the neighbour saw meanwhile."""

    statuses: list[int] = field(default_factory=list)
    slowest: float = 0.0
    grown_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vitals:
    pid: int
    descriptors: int
    rss_mib: int
    peak_mib: int
    restarts: int
    said: int


def status_of(answer: str) -> int:
    """Of an answer as it came; 0 where the connection was ended without one."""
    return int(answer[9:12]) if answer.startswith("HTTP/1.1 ") else 0


def code_of(answer: str) -> str:
    """The code of a problem."""
    body = answer.partition("\r\n\r\n")[2]
    code: str = json.loads(body).get("code", "") if body.startswith("{") else ""
    return code


def _descriptors(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())


def _mib(pattern: re.Pattern[str], status: str) -> int:
    found = pattern.search(status)
    assert found is not None
    return int(found[1]) >> 10
