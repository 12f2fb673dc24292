"""FakeDaemon: answers on an instance's socket with what a test put there, and keeps what came."""

import json
import os
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.version import CORE_VERSION

PLUGIN_ROW: Mapping[str, Any] = {
    "plugin_id": "notes",
    "version": "1.2.3",
    "status": "active",
    "sub_state": "running",
    "detail": "running",
    "container_id": "0123456789abcdef",
    "restarts": 0,
    "reason": "",
}
LIMITS: Mapping[str, int] = {
    "max_memory_mb": 100,
    "max_cpu_percent": 10,
    "max_disk_mb": 50,
    "max_network_mb": 10,
    "max_execution_time_sec": 30,
    "max_concurrent_requests": 5,
}
PLUGIN: Mapping[str, Any] = {
    **PLUGIN_ROW,
    "name": "Notes",
    "origin": "/manifests/notes.yaml",
    "image": "orchestrator/notes:1",
    "may": ["may compute, and nothing else"],
    "tools": ["add"],
    "dependencies": [],
    "calls_in_flight": 0,
    "events_waiting": 0,
    "disk_enforced_by": "",
    "network": None,
    "report": None,
    "last_failure": None,
    "recent_failures": 0,
    "deployment": {"limits": LIMITS},
    "events": [],
}


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class FakeDaemon:
    """`answers` holds (status, content type, body) by path; everything else is 404."""

    home: Path
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    version: str = CORE_VERSION

    def answer(self, path: str, value: Any, *, status: int = 200) -> None:
        """Put JSON at `path`; from 400 on as a problem."""
        kind = "application/json" if status < 400 else "application/problem+json"
        self.answers[path] = (status, kind, json.dumps(value).encode())

    def answer_bytes(self, path: str, body: bytes, content_type: str, *, status: int = 200) -> None:
        self.answers[path] = (status, content_type, body)


class _Handler(BaseHTTPRequestHandler):
    daemon: ClassVar[FakeDaemon]

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.daemon.asked.append(Asked(self.command, self.path, headers, body))
        status, kind, answer = self.daemon.answers.get(
            self.path.partition("?")[0], (404, "application/problem+json", b"{}")
        )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Orchestrator-Version", self.daemon.version)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names http.server looks for

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


def serve(daemon: FakeDaemon) -> _Server:
    """Listen where a client of the default instance looks; to be shut down and closed."""
    folder = daemon.home / "default"
    folder.mkdir(parents=True)
    handler = type("Handler", (_Handler,), {"daemon": daemon})
    descriptor = os.open(folder, os.O_PATH)
    try:
        # Through the folder's descriptor: socket addresses end at 107 bytes.
        server = _Server(f"/proc/self/fd/{descriptor}/daemon.sock", handler)
    finally:
        os.close(descriptor)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
