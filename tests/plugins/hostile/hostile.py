"""Hostile: speaks the contract by hand, so that it can break it. One thread a connection.

A call's input says what to do: `{"do": "talk", …}` runs the function of that name in `attacks.py`
or `network.py` and answers with what it returned; `{"do": "answer", "pieces": […]}` is answered
with these bytes.
"""

import json
import os
import socket
import threading
import time
from collections import deque
from typing import Any

import attacks
import network

PATH = os.environ["ORCHESTRATOR_SOCKETS"] + "/plugin.sock"
UNREAD = "application/x-unread"
"""Of a call whose body is left where it is."""
SEEN: deque[dict[str, Any]] = deque(maxlen=200)
"""The latest events that came: whose, and of which type."""
LIES: dict[str, list[str]] = {}
"""Raw answers by path, for what the orchestrator itself asks; each is given once."""


class Ended(Exception):
    """The other side ended the connection."""


class Line:
    """One connection that was dialled; the host is the client on it."""

    def __init__(self, lane: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(PATH)
        self._buffer = b""
        self.send(
            b"GET /v1/serve HTTP/1.1\r\nHost: orchestrator\r\nConnection: Upgrade\r\n"
            b"Upgrade: PTTH/1.0\r\nX-Lane: %b\r\n\r\n" % lane.encode()
        )
        if not self._head().startswith("HTTP/1.1 101"):
            raise Ended

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def request(self) -> tuple[str, dict[str, str], bytes]:
        """The next one: path, headers, body."""
        first, *rows = self._head().split("\r\n")
        headers = {}
        for row in rows:
            name, _, value = row.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("content-type") == UNREAD:
            time.sleep(3.5)  # the liar's calls may take 3 s: by then the host has given up
            raise Ended
        return first.split()[1], headers, self._take(int(headers.get("content-length", "0")))

    def close(self) -> None:
        self._sock.close()

    def _head(self) -> str:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        body, self._buffer = self._buffer[:count], self._buffer[count:]
        return body

    def _more(self) -> None:
        piece = self._sock.recv(65_536)
        if not piece:
            raise Ended
        self._buffer += piece


def serve(lane: str) -> None:
    """For ever: dial, answer, dial again."""
    while True:
        line = None
        try:
            line = Line(lane)
            while True:
                answer(line, *line.request())
        except (Ended, OSError):
            time.sleep(0.05)
        finally:
            if line is not None:
                line.close()


def answer(line: Line, path: str, headers: dict[str, str], body: bytes) -> None:
    if path == "/v1/execute":
        execute(line, headers, json.loads(body or b"{}"))
        return
    if path == "/v1/events":
        event = json.loads(body)
        SEEN.append({"type": event["type"], "source": event["source"]})
    if LIES.get(path):
        pour(line, [LIES[path].pop(0)], then="close")
    reply(line, {"state": "ready"})


def execute(line: Line, headers: dict[str, str], wish: dict[str, Any]) -> None:
    match wish.pop("do", "headers"):
        case "headers":
            reply(line, headers)
        case "answer":
            pour(line, **wish)
        case "lie":
            LIES[wish["path"]] = wish["answers"]
            reply(line, {})
        case "lies_left":
            reply(line, sum(map(len, LIES.values())))
        case "seen":
            reply(line, list(SEEN))
        case "in_the_name":
            mark, own = wish.pop("mark"), headers["x-request-id"]
            requests = [text.replace(mark, own) for text in wish.pop("requests")]
            reply(line, attacks.talk(requests=requests, **wish))
        case str(name):
            module = attacks if hasattr(attacks, name) else network
            reply(line, getattr(module, name)(**wish))


def reply(line: Line, value: object) -> None:
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    line.send(head % len(body) + body)


def pour(
    line: Line, pieces: list[str], times: int = 1, pause: float = 0.0, then: str = "keep"
) -> None:
    """The first piece, and then the others again and again."""
    first, *others = (piece.encode("latin-1") for piece in pieces)
    line.send(first)
    for _ in range(times):
        for piece in others:
            time.sleep(pause)
            line.send(piece)
    if then == "close":
        raise Ended


def main() -> None:
    lanes = ["control"] + ["calls"] * int(os.environ["ORCHESTRATOR_CONNECTIONS"])
    if os.environ.get("ORCHESTRATOR_EVENTS") == "1":
        lanes.append("events")
    for lane in lanes:
        threading.Thread(target=serve, args=(lane,)).start()
        time.sleep(0.02)


main()
