"""A daemon that is killed in the middle of an answer: an error in words, never half an answer."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.audit import AuditClient
from orchestrator.client.client import DaemonNotRunning
from orchestrator.client.events import EventsClient
from orchestrator.sandbox.listener import bind_unix

LINE = b'{"stream": "stdout", "at": 1.0, "text": "one"}\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def short(body: bytes) -> bytes:
    """More was announced than came."""
    return HEAD + b"Content-Length: 500\r\n\r\n" + body


def chunks(*bodies: bytes) -> bytes:
    """The last chunk never came."""
    sent = b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + sent


class Dying:
    """Sends its answer, cut as it is, and is gone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "daemon.sock"
        self.answer = b""
        self._listener = bind_unix(self.path, mode=0o600)
        self._listener.setblocking(True)  # noqa: FBT003 — the standard library's
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer:
                    peer.recv(65_536)
                    peer.sendall(self.answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[Dying]:
    daemon = Dying(tmp_path)
    yield daemon
    daemon.close()


ASKING: dict[str, Callable[[EventsClient], Any]] = {
    "json": lambda client: client.plugins(),
    "bytes": lambda client: b"".join(AuditClient(client.path).audit_export()),
    "call": lambda client: client.call(
        "notes", b"{}", content_type="application/json", tool=None, timeout_seconds=None
    ),
    "publish": lambda client: client.publish_event("a.b", subject="", data={}, who="me"),
    "logs": lambda client: [*client.logs("notes", follow=False, since=0, tail=0)],
    "follow": lambda client: [*client.logs("notes", follow=True, since=0, tail=0)],
    "tail": lambda client: [*client.tail_events(event_type="", plugin="", count=1, follow=True)],
}


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HEAD,
        short(b""),
        short(LINE),
        short(LINE + LINE[:20]),
        chunks(LINE),
        chunks(LINE, LINE[:20]),
        chunks(LINE)[:-5],
    ],
    ids=["nothing", "head", "no-body", "line", "half-line", "chunk", "half-chunk", "cut-chunk"],
)
def test_an_answer_that_is_cut_short_is_told(
    dying: Dying, asking: Callable[[EventsClient], Any], answer: bytes
) -> None:
    dying.answer = answer
    with pytest.raises(DaemonNotRunning, match="ended"):
        asking(EventsClient(dying.path))


def test_lines_that_came_whole_before_the_end_are_given(dying: Dying) -> None:
    dying.answer = chunks(LINE, LINE)
    lines = EventsClient(dying.path).logs("notes", follow=True, since=0, tail=0)
    first, second = next(lines), next(lines)
    with pytest.raises(DaemonNotRunning):
        next(lines)

    assert [first["text"], second["text"]] == ["one", "one"]
