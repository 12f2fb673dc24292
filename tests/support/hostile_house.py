"""The house of tests/attacks: who lives in it, and the world that it can see."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import APIError

from tests.support.hostile import House
from tests.support.instance import Instance, engine, new_name
from tests.support.names import Resolver

NEIGHBOUR, FRIEND = "attack-neighbour", "attack-friend"
TALKER, LIAR, FLOODER = "attack-talker", "attack-liar", "attack-flooder"
SECONDS = 3
"""What a call of the liar may take."""
ANSWER_MIB = 2
GREETING = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\npublic"
SECRET = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret"


TOOLS = [
    {
        "name": "slow_patterns",
        "description": "Its schema's patterns take for ever where they are tried the simple way.",
        "input_schema": {
            "type": "object",
            "properties": {
                "a": {"type": "string", "pattern": "^(a+)+$"},
                "b": {"type": "string", "pattern": "^(a|a)*$"},
                "c": {"type": "string", "pattern": "^([a-z]+)*[0-9]$"},
            },
        },
    },
    {
        "name": "any",
        "description": "Takes and gives anything.",
        "input_schema": {},
        "output_schema": {"type": "object"},
    },
]
"""Of the liar and the friend: what they take and give is checked by the host."""
KEY = "the-liars-own-key-58c1f0"
"""The liar's secret."""


class World:
    """What the talker may reach, and on the same port what nobody may: a service of the host's."""

    def __init__(self, names: Resolver) -> None:
        self.names = names
        self.public = _Server((names.address(80), 0), GREETING)
        self.port: int = self.public.server_address[1]
        self.private = _Server(("127.0.0.1", self.port), SECRET)

    @contextlib.contextmanager
    def running(self) -> Iterator["World"]:
        with self.names.running(), self.public.running(), self.private.running():
            yield self


class _Server(socketserver.ThreadingTCPServer):
    """Answers whatever comes with the same, and remembers it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], answer: bytes) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self.answer = answer
        super().__init__(address, _Handler)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.connections += 1
        self.request.settimeout(10)
        with contextlib.suppress(OSError):
            self.server.heard.append(self.request.recv(65_536))
            self.request.sendall(self.server.answer)


@contextlib.contextmanager
def settled(folder: Path, *, runtime: str) -> Iterator[tuple[House, World]]:
    """The house with everybody up on that runtime; all of it is gone afterwards."""
    with World(Resolver()).running() as world:
        house = House(Instance(folder, new_name()), NEIGHBOUR)
        house.instance.wrapper = world.names.wrapper(folder)
        house.instance.policy(
            runtime=runtime,
            egress={"allowed_private": [f"{world.names.network}.0/24"]},
            lifecycle={"status_interval_seconds": 1},
            calls={"max_response_mb": ANSWER_MIB, "max_queue": 16},
        )
        _plugins(house, world.port)
        try:
            house.instance.up()
            house.instance.wrapper = []
            yield house, world
        finally:
            house.instance.wrapper = []
            house.instance.destroy()
            left = house.instance.left_over()
            house.instance.purge()
            _take_images_away()
    assert left == []


def _plugins(house: House, port: int) -> None:
    hosts = [f"granted.test:{port}", f"*.wild.test:{port}"]
    outside = {"external_api": {"hosts": hosts}}
    talking: list[Any] = [{"plugin_communication": {"plugins": [FRIEND]}}, outside]
    back: list[Any] = [{"plugin_communication": {"plugins": [TALKER]}}, outside]
    limits = {"max_cpu_percent": 100, "max_execution_time_sec": 120}
    house.plugin(NEIGHBOUR, info={"permissions": []}, limits=limits)
    house.plugin(
        TALKER,
        info={"permissions": talking, "publishes": ["hostile.*"]},
        permissions=talking,
        limits={**limits, "max_memory_mb": 256},
    )
    house.plugin(
        FRIEND,
        info={"permissions": back, "subscribes": ["hostile.*"], "tools": TOOLS},
        permissions=back,
        limits=limits,
    )
    short = {"max_cpu_percent": 100, "max_execution_time_sec": SECONDS}
    liar: dict[str, Any] = {"permissions": [], "tools": TOOLS, "secrets": ["key"]}
    (house.instance.manifests.parent / "key.txt").write_text(KEY)
    house.plugin(
        LIAR,
        info=liar,
        limits={**short, "max_concurrent_requests": 2},
        secrets={"key": {"file": "../key.txt"}},
    )
    house.plugin(FLOODER, info={"permissions": []}, limits=limits)


def _take_images_away() -> None:
    with engine() as client:
        tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
        for tag in tags:
            if tag.startswith("orchestrator/attack-"):
                with contextlib.suppress(APIError):  # another run of these tests may be at it
                    client.remove_image(tag)
