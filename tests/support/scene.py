"""Scene: two plugins with a day's work and a day's mishaps, so that every panel has something.

A shop sells, fails, asks what it may not, publishes, calls its stock; the stock refuses some
events; somebody changes a container from outside, one is killed, and an update fails.
"""

import contextlib
import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import yaml

from orchestrator.client.client import DaemonClient
from tests.support.instance import Instance, engine, eventually
from tests.support.workshop import Workshop

SHOP, STOCK = "e2e-shop", "e2e-stock"

_SHOP = """
import os, time, urllib.error, urllib.request
from orchestrator_sdk import PluginError, PluginInterface, PluginStatus, tool

class Plugin(PluginInterface):
    sold = 0

    def initialize(self, config, context):
        if config["broken"]:
            os._exit(3)
        with open("/data/stock", "wb") as file:
            file.write(bytes(1 << 20))
        return True

    def execute(self, input_data):
        return input_data

    @tool
    def sell(self, seconds: float = 0.0):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        self.sold += 1
        return {}

    @tool
    def fail(self):
        raise PluginError("sold out")

    @tool
    def order(self):
        self.context.host.publish("shop.sold", {"what": "a thing"})
        return self.context.host.call("e2e-stock", {}, tool="count")

    @tool
    def fetch(self, url: str):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return len(answer.read())
        except urllib.error.HTTPError as error:
            return error.code

    def get_status(self):
        return PluginStatus("ready", metrics={"sold": self.sold})
"""
_STOCK = """
from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    seen = 0

    @tool
    def count(self):
        return self.seen

    def handle_event(self, event):
        self.seen += 1
        if self.seen % 3 == 0:
            raise RuntimeError("no room")
"""


def _tools(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "description": "For one test.", "input_schema": {"type": "object"}}
        for name in names
    ]


class Scene:
    """Made by `write`; `play` does the day's work."""

    def __init__(self, instance: Instance, workshop: Workshop, upstream: int) -> None:
        self.instance = instance
        self.workshop = workshop
        self.upstream = upstream
        self._shop, self._stock = _SHOP + _mark(), _STOCK + _mark()

    def policy(self, **monitoring: Any) -> None:
        """orchestrator.yaml; `monitoring` is what stands there under that name."""
        policy = {
            "ui": {"port": 0},
            "egress": {"allowed_private": ["127.0.0.0/8"]},
            "events": {"max_tries": 1},
            "reconcile": {"full_pass_seconds": 1},
            "rollout": {"min_healthy_seconds": 0.5, "progress_deadline_seconds": 10},
        }
        self.instance.config.write_text(
            yaml.safe_dump({"policy": policy, "monitoring": monitoring})
        )

    def write(self, *, broken: bool = False) -> None:
        """The manifests; `broken` is a shop that does not start."""
        wanted: list[Any] = [
            "file_system_write",
            "plugin_communication",
            {"external_api": {"hosts": [f"localhost:{self.upstream}"]}},
        ]
        self.workshop.script(
            SHOP,
            self._shop,
            info={
                "permissions": wanted,
                "tools": _tools("sell", "fail", "order", "fetch"),
                "dependencies": [STOCK],
                "publishes": ["shop.sold"],
                "config_schema": {
                    "type": "object",
                    "properties": {"broken": {"type": "boolean", "default": False}},
                },
            },
            permissions=wanted,
            config={"broken": broken},
            limits={"max_cpu_percent": 20},
        )
        self.workshop.script(
            STOCK,
            self._stock,
            info={"tools": _tools("count"), "subscribes": ["shop.*"]},
        )

    def work(self, seconds: float) -> None:
        """Calls of every kind, a few at a time."""
        until = time.monotonic() + seconds
        callers = [
            threading.Thread(target=self._calls, args=(kind, until))
            for kind in (
                ("sell", {"seconds": 0.02}, 0.02),
                ("sell", {}, 0.05),
                ("", {"plain": True}, 0.1),
                ("fail", {}, 0.4),
                ("no-such-tool", {}, 0.9),
                ("order", {}, 0.3),
                ("fetch", {"url": f"http://localhost:{self.upstream}/"}, 0.3),
                ("fetch", {"url": "http://elsewhere.example/"}, 0.6),
            )
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    def _calls(self, kind: tuple[str, dict[str, Any], float], until: float) -> None:
        tool, value, pause = kind
        client = DaemonClient(self.instance.home / self.instance.name / "daemon.sock")
        body = json.dumps(value).encode()
        while time.monotonic() < until:
            client.call(
                SHOP, body, content_type="application/json", tool=tool or None, timeout_seconds=10
            )
            time.sleep(pause)

    def mishaps(self) -> None:
        """One container changed from outside, one killed, and an update that fails."""
        container = self.instance.ps()[SHOP]["container_id"]
        with engine() as client:
            client.update_container(container, mem_limit=90 << 20, memswap_limit=90 << 20)
            client.kill(self.instance.ps()[STOCK]["container_id"])
        self._shop = _SHOP + _mark()  # built anew, while somebody looks at how long that takes
        self.write(broken=True)
        self.instance.run("up", "--detach", str(self.instance.manifests))
        eventually(lambda: self.instance.ps()[SHOP]["sub_state"] == "rolled_back", seconds=40)


def _mark() -> str:
    """Makes code that no image was built of yet."""
    return f"\n# {uuid.uuid4()}\n"


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """A web server of the host's own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "60000")
            self.end_headers()
            self.wfile.write(bytes(60_000))

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
