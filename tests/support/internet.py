"""An internet of the tests' own: a network namespace behind the host, and a service of the host's.

Its fixtures are registered in tests/conftest.py, as the addresses can be there once.
"""

import fcntl
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMESPACE, _VETH = "orchestrator-far", "orc-far"
"""One name for all runs, which take turns: what a killed run left is found, and removed."""

FAR = "198.51.100.10"
"""Stands for an address that the operator allows; documentation addresses are no internet.

A small subnet: some machines have their mirrors of registries at such addresses.
"""
HOST_BESIDE_FAR = "198.51.100.9"
GLOBAL = "192.175.48.77"
"""Stands for the internet: globally reachable by the registry, and in use by nobody here."""
METADATA = "169.254.169.254"
PRIVATE = "10.99.99.99"
PORTS = (28_080, 28_081)
GREETING = "here is the far side"


@dataclass(kw_only=True)
class FarSide:
    """One of the programs that answer."""

    log: Path

    def bytes_of(self, protocol: str, port: int = PORTS[0]) -> list[int]:
        """The sizes of what came, in order."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [int(size) for what, at, size in lines if (what, at) == (protocol, str(port))]


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


def host_addresses() -> list[str]:
    """Of every interface, loopback left out: some may have no bridge of the engine's."""
    done = subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True, check=True)
    found = [address["local"] for link in json.loads(done.stdout) for address in link["addr_info"]]
    return [address for address in found if not address.startswith("127.")]


@pytest.fixture(scope="session")
def addresses() -> Iterator[None]:
    """These addresses and ports for this run alone: another one on this machine waits."""
    with (Path(tempfile.gettempdir()) / "orchestrator-tests-addresses.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory, addresses: None) -> Iterator[FarSide]:
    """Addresses behind the host, in a network namespace, where far_side.py answers."""
    namespace, veth = NAMESPACE, _VETH
    log = tmp_path_factory.mktemp("far") / "log"
    log.touch()
    _remove_internet()
    _ip("netns", "add", namespace)
    process = None
    try:
        _ip("link", "add", veth, "type", "veth", "peer", "name", "far0", "netns", namespace)
        _ip("addr", "add", f"{HOST_BESIDE_FAR}/30", "dev", veth)
        _ip("link", "set", veth, "up")
        inside = ("-n", namespace)
        for link in ("lo", "far0"):
            _ip(*inside, "link", "set", link, "up")
        _ip(*inside, "addr", "add", f"{FAR}/30", "dev", "far0")
        for address in (GLOBAL, METADATA, PRIVATE):
            _ip(*inside, "addr", "add", f"{address}/32", "dev", "far0")
            _ip("route", "add", f"{address}/32", "via", FAR, "dev", veth)
        _ip(*inside, "route", "add", "default", "via", HOST_BESIDE_FAR)
        process = _far_side(log, prefix=("ip", "netns", "exec", namespace))
        yield FarSide(log=log)
    finally:
        if process is not None:
            process.kill()
            process.wait()
        _remove_internet()


def _remove_internet() -> None:
    _ip("link", "delete", _VETH, check=False)
    _ip("netns", "delete", NAMESPACE, check=False)


@pytest.fixture(scope="session")
def host_service(tmp_path_factory: pytest.TempPathFactory, addresses: None) -> Iterator[FarSide]:
    """A service of the host, on every address that it has."""
    log = tmp_path_factory.mktemp("host") / "log"
    log.touch()
    process = _far_side(log)
    yield FarSide(log=log)
    process.kill()
    process.wait()


def _far_side(log: Path, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
    far_side = Path(__file__).with_name("far_side.py")
    program = (sys.executable, str(far_side), str(log), *map(str, PORTS))
    process = subprocess.Popen([*prefix, *program])
    for _ in range(200):
        if log.read_text().count("ready") == 2 * len(PORTS):
            return process
        try:
            process.wait(0.05)
            break
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    pytest.fail("far_side.py did not start")
