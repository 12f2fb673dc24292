"""Pages: a page with all that pages have, and a script that tries what none may do."""

from pathlib import Path
from typing import Any

from orchestrator_sdk import PluginInterface, UiRequest, tool

FOLDER = Path(__file__).parent
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css",
    "probe.js": "text/javascript",
    "worker.js": "text/javascript",
    "dot.svg": "image/svg+xml",
}


class Pages(PluginInterface):
    def __init__(self) -> None:
        self.seen: list[str] = []

    @tool
    def asked(self) -> dict[str, Any]:
        return {"pages": self.seen}

    def handle_ui(self, request: UiRequest) -> tuple[int, str, bytes | str]:
        self.seen.append(f"{request.method} {request.path}")
        if request.path == "/elsewhere":
            return 200, "text/plain", self.config["elsewhere"]
        if request.path == "/echo":
            return 200, "text/plain", f"{request.method} {request.query} {request.body.decode()}"
        name = request.path.removeprefix("/") or "index.html"
        if name not in TYPES:
            return 404, "text/plain", "no such page"
        return 200, TYPES[name], (FOLDER / name).read_bytes()
