"""From inside: no network but loopback, and none of the host's services on it."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.probe import Probe

pytestmark = pytest.mark.docker

SECRET = b"a service of the host"


@pytest.fixture(scope="module")
def host_port() -> Iterator[int]:
    """A service on all addresses of the host that greets whoever connects."""
    listener = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - reachable as far as can be

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(SECRET)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_its_only_interface_is_loopback_and_it_has_no_route(bare: Probe) -> None:
    found = bare("interfaces")

    assert found == {"names": ["lo"], "routes": []}


@pytest.mark.parametrize("host", ["172.17.0.1", "169.254.169.254", "1.1.1.1", "2606:4700::1111"])
def test_it_reaches_neither_the_host_nor_anything_beyond(
    bare: Probe, host_port: int, host: str
) -> None:
    found = bare("connect", host=host, port=host_port)

    assert found["error"] == "EPERM"


def test_its_loopback_is_not_the_hosts(bare: Probe, host_port: int) -> None:
    with socket.create_connection(("127.0.0.1", host_port)) as connection:
        assert connection.recv(100) == SECRET

    found = bare("connect", host="127.0.0.1", port=host_port)

    assert found == {"error": "EPERM", "result": None}
