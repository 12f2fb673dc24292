"""The lanes: connections that the plugin dials, serves, and dials again when they end."""

import logging
import time
from contextlib import suppress
from socket import AF_UNIX, SHUT_RD, SOCK_STREAM, socket
from threading import Event, Thread

from orchestrator_sdk.call import CURRENT, Call
from orchestrator_sdk.dispatch import Dispatcher
from orchestrator_sdk.messages import problem
from orchestrator_sdk.wire import MAX_HEAD_BYTES, Connection, MalformedRequest, StreamBroken

_log = logging.getLogger("orchestrator_sdk")

_FIRST_DELAY_SECONDS = 0.05
_LAST_DELAY_SECONDS = 0.5
_DIAL_SECONDS = 10.0
_SETTLED_SECONDS = 1.0
"""A connection that lasted this long, or carried a request, starts the back-off anew."""


class DialRefused(Exception):
    """The host answered something else than 101 Switching Protocols."""


class Lane:
    """One connection at a time, in one thread."""

    def __init__(
        self, name: str, *, path: str, dispatcher: Dispatcher, control_up: Event, stopping: Event
    ) -> None:
        self._name = name
        self._path = path
        self._dispatcher = dispatcher
        self._control_up = control_up
        self._stopping = stopping
        self._socket: socket | None = None
        """Dialling or dialled: what `interrupt` ends."""
        self._busy = False
        self._reported = ""
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def interrupt(self) -> None:
        """Wake an idle thread; one that serves a call finishes it first."""
        connection = self._socket
        if connection is not None and not self._busy:
            # Reading only: a request that came in just now is still answered.
            with suppress(OSError):
                connection.shutdown(SHUT_RD)

    def join(self, seconds: float) -> bool:
        """Whether the thread has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        delay = _FIRST_DELAY_SECONDS
        while self._may_dial():
            try:
                self._socket = socket(AF_UNIX, SOCK_STREAM)
                connection = dial(self._socket, self._path, self._name)
            except (OSError, DialRefused) as error:
                self._report(f"{self._name}: cannot dial {self._path}: {error}")
                settled = False
            else:
                settled = self._use(connection)
            self._stopping.wait(delay := _FIRST_DELAY_SECONDS if settled else delay)
            delay = min(delay * 2, _LAST_DELAY_SECONDS)

    def _may_dial(self) -> bool:
        if self._name != "control":
            self._control_up.wait()
        return not self._stopping.is_set()

    def _use(self, connection: Connection) -> bool:
        """Serve it to its end; whether it was of use."""
        self._reported = ""
        since = time.monotonic()
        if self._name == "control":
            self._control_up.set()
        try:
            served = self._serve(connection)
        finally:
            if self._name == "control" and not self._stopping.is_set():
                self._control_up.clear()
            self._socket = None
            connection.socket.close()
        return served or time.monotonic() - since >= _SETTLED_SECONDS

    def _serve(self, connection: Connection) -> bool:
        served = False
        try:
            while not self._stopping.is_set() and self._serve_one(connection):
                served = True
        except MalformedRequest as error:
            _log.warning("%s: malformed request: %s", self._name, error)
            with suppress(OSError):
                reply = problem(error.status, "malformed_request", str(error))
                connection.write(reply, keep_alive=False)
        except OSError:
            served = served or self._busy
        except StreamBroken:
            _log.exception("the answer broke off half-way")
            served = True
        finally:
            self._busy = False
            CURRENT.set(None)
        return served

    def _serve_one(self, connection: Connection) -> bool:
        """Whether another request may follow."""
        request = connection.read_request()
        if request is None:
            return False
        self._busy = True
        CURRENT.set(Call(request.headers, connection.socket))
        reply = self._dispatcher.handle(request)
        keep_alive = request.keep_alive and not self._stopping.is_set()
        connection.write(reply, keep_alive=keep_alive)
        CURRENT.set(None)
        self._busy = False
        return keep_alive

    def _report(self, message: str) -> None:
        # Once for each reason: a host that is away for an hour must not fill the log.
        if message != self._reported:
            self._reported = message
            _log.info(message)


def dial(connection: socket, path: str, lane: str) -> Connection:
    """A connection on which the host is the client now. Raises OSError, DialRefused."""
    try:
        return Connection(connection, _upgraded(connection, path, lane))
    except BaseException:
        connection.close()
        raise


def _upgraded(connection: socket, path: str, lane: str) -> bytes:
    """What the host sent behind its 101 already."""
    connection.settimeout(_DIAL_SECONDS)
    connection.connect(path)
    connection.sendall(
        b"GET /v1/serve HTTP/1.1\r\nHost: orchestrator\r\nConnection: Upgrade\r\n"
        b"Upgrade: PTTH/1.0\r\nX-Lane: %b\r\n\r\n" % lane.encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4_096)
        if not piece or len(received) > MAX_HEAD_BYTES:
            raise DialRefused("no answer to the upgrade")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    status_line = head.partition(b"\r\n")[0].decode("latin-1")
    if not status_line.startswith("HTTP/1.1 101 "):
        raise DialRefused(f"{status_line[:100]!r} found, 101 expected")
    connection.settimeout(None)
    return rest


class Lanes:
    """All of one plugin's lanes."""

    def __init__(
        self, dispatcher: Dispatcher, *, path: str, connections: int, events: bool
    ) -> None:
        self._stopping = Event()
        self._control_up = Event()
        names = ["control", *["calls"] * connections, *["events"] * events]
        self._lanes = [
            Lane(
                name,
                path=path,
                dispatcher=dispatcher,
                control_up=self._control_up,
                stopping=self._stopping,
            )
            for name in names
        ]

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    def stop(self, seconds: float) -> bool:
        """Let running calls finish; whether all did within that time."""
        until = time.monotonic() + seconds
        self._stopping.set()
        self._control_up.set()
        for lane in self._lanes:
            lane.interrupt()
        return all(lane.join(max(0.0, until - time.monotonic())) for lane in self._lanes)
