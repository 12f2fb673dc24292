"""The host's side of the plugin contract, for tests: a real unix socket, blocking, unhurried.

It shares no code with the SDK: the standard library's HTTP client reads the plugin's answers.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from queue import Empty, Queue
from socket import AF_UNIX, SHUT_RDWR, SOCK_STREAM, socket
from threading import Thread
from typing import Any, NamedTuple, Self

WAIT_SECONDS = 10.0


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


def problem_of(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.value["status"] == answer.status
    return answer.status, answer.value["code"]


def appears(path: Path, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return path.exists()


class Peer:
    """One connection that a plugin dialled."""

    def __init__(self, connection: socket, lane: str) -> None:
        self.connection = connection
        self.lane = lane

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its answer."""
        self.begin(method, path, body, headers)
        return self.answer()

    def begin(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: plugin", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self) -> Answer:
        response = HTTPResponse(self.connection)
        try:
            response.begin()
            body = response.read()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, body)
        finally:
            response.close()

    def execute(self, value: Any, **headers: str) -> Answer:
        """A call with a JSON body; header names with `_` for `-`."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", "/v1/execute", json.dumps(value).encode(), named)

    def tool(self, tool_name: str, **arguments: Any) -> Answer:
        return self.execute(arguments, x_tool=tool_name)

    def initialize(self, **config: Any) -> Answer:
        start = {
            "plugin_id": "tested",
            "instance_id": "tested-1",
            "config": config,
            "context": {
                "data_dir": "/data",
                "permissions": {"system_info": {}},
                "limits": {"max_memory_mb": 100},
                "core_version": "0.1.0",
            },
        }
        return self.ask("POST", "/v1/initialize", json.dumps(start).encode())

    def ended(self) -> bool:
        """Whether the plugin closes the connection, waiting for it."""
        try:
            return self.connection.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)
        self.connection.close()


class FakeHost:
    """Listens where plugins dial in; what came in lies in a queue for each lane."""

    def __init__(self, folder: Path, *, control: int = 1, calls: int = 2) -> None:
        self._path = folder / "plugin.sock"
        self._most = {"control": control, "calls": calls, "events": 1}
        self._queues: dict[str, Queue[Peer]] = {lane: Queue() for lane in self._most}
        self._peers: list[Peer] = []
        self.upgrades: list[str] = []
        """The lane of every dial, refused ones too, in order."""
        self._listener = socket(AF_UNIX, SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lane(self, name: str, *, seconds: float = WAIT_SECONDS) -> Peer:
        """The next connection on that lane."""
        try:
            return self._queues[name].get(timeout=seconds)
        except Empty:
            raise AssertionError(f"nothing dialled in on {name} in {seconds} s") from None

    def started(self, **config: Any) -> Peer:
        """The control connection of a plugin, initialized."""
        control = self.lane("control")
        answer = control.initialize(**config)
        assert answer.status == 200, answer.body
        return control

    def close(self) -> None:
        """Go away as a killed daemon does."""
        with suppress(OSError):
            self._listener.shutdown(SHUT_RDWR)
        self._thread.join(WAIT_SECONDS)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for peer in self._peers:
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(WAIT_SECONDS)
            with suppress(OSError):  # a plugin that is killed while it dials
                self._upgrade(connection)

    def _upgrade(self, connection: socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = connection.recv(4_096)
            if not piece:
                connection.close()
                return
            head += piece
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        assert lines[0] == "GET /v1/serve HTTP/1.1"
        assert (headers["upgrade"], headers["connection"]) == ("ptth/1.0", "upgrade")
        lane = headers["x-lane"]
        self.upgrades.append(lane)
        # Full until the test closes a connection, whatever the plugin does with its end.
        if (
            sum(peer.lane == lane and peer.connection.fileno() >= 0 for peer in self._peers)
            >= (self._most[lane])
        ):
            connection.sendall(b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            return
        peer = Peer(connection, lane)
        self._peers.append(peer)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: PTTH/1.0\r\n\r\n")
        self._queues[lane].put(peer)


class PluginProcess:
    """A plugin as a plain process, its output kept."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        sockets: Path,
        connections: int = 2,
        **environment: str,
    ) -> None:
        self._output = (folder / "output").open("w+b")
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={
                "PATH": os.environ["PATH"],
                "ORCHESTRATOR_PLUGIN_ID": "tested",
                "ORCHESTRATOR_INSTANCE_ID": "tested-1",
                "ORCHESTRATOR_SOCKETS": str(sockets),
                "ORCHESTRATOR_CONTRACT": "1",
                "ORCHESTRATOR_CONNECTIONS": str(connections),
                **environment,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(WAIT_SECONDS)
        self._output.close()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)

    def output(self) -> list[str]:
        """The lines written so far, to either stream."""
        return Path(self._output.name).read_text(encoding="utf-8").splitlines()

    def log(self) -> list[dict[str, Any]]:
        """The JSON lines among them."""
        return [json.loads(line) for line in self.output() if line.startswith("{")]


def python_plugin(
    folder: Path, source: str | None = None, *, sockets: Path, **settings: Any
) -> PluginProcess:
    """`class Tested` in `source` (or of tested_plugin.py), run as in its container."""
    if source is None:
        source = (Path(__file__).parent / "tested_plugin.py").read_text(encoding="utf-8")
    (folder / "tested.py").write_text(source, encoding="utf-8")
    return PluginProcess(
        [sys.executable, "-m", "orchestrator_sdk", "tested:Tested"],
        folder=folder,
        sockets=sockets,
        PYTHONPATH=str(Path(__file__).resolve().parent.parent),
        **settings,
    )
