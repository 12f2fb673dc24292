"""The way out with `external_api`: 127.0.0.1:3128 forwarded to the host's egress socket.

HTTP libraries know proxies by host and port, not by a unix socket, and there is no network.
"""

from contextlib import suppress
from socket import AF_INET, AF_UNIX, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from threading import BoundedSemaphore, Thread

PROXY_PORT = 3_128

_MOST_CONNECTIONS = 24
"""Each costs two threads, and the container's process limit counts them."""
_PIECE_BYTES = 64 << 10


class EgressForwarder:
    """Accepts on loopback for as long as the process lives."""

    def __init__(self, path: str, *, port: int = PROXY_PORT) -> None:
        """Listens at once, so that the plugin's first request finds it. Raises OSError."""
        self._path = path
        self._free = BoundedSemaphore(_MOST_CONNECTIONS)
        self._listener = socket(AF_INET, SOCK_STREAM)
        self._listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._accept, name="egress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _accept(self) -> None:
        while True:
            self._free.acquire()
            inner, _ = self._listener.accept()
            Thread(target=self._forward, args=(inner,), name="egress", daemon=True).start()

    def _forward(self, inner: socket) -> None:
        try:
            with inner, socket(AF_UNIX, SOCK_STREAM) as outer, suppress(OSError):
                outer.connect(self._path)
                back = Thread(target=_pump, args=(outer, inner), name="egress", daemon=True)
                back.start()
                _pump(inner, outer)
                back.join()
        finally:
            self._free.release()


def _pump(source: socket, target: socket) -> None:
    """Copy to the end of file, and pass that on."""
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(SHUT_WR)
