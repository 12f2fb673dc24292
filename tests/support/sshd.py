"""A real sshd on loopback for one user and one key: OpenSSH's own, as a process of the tests.

No registry is asked: `scripts/test-services.sh install-sshd` sees to the program.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
AllowUsers {user}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
DisableForwarding yes
PermitTTY no
LogLevel ERROR
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    user: str
    port: int
    client_key: Path
    known_hosts: Path


def make_key(file: Path) -> Path:
    """A private key without a passphrase; the public one lies beside it."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a test's", "-f", str(file)]
    subprocess.run(command, check=True, timeout=60)
    return file


@contextmanager
def sshd_on(folder: Path) -> Iterator[Sshd]:
    """It listens while this is open."""
    subprocess.run([ROOT / "scripts" / "test-services.sh", "install-sshd"], check=True, timeout=600)
    user, port = getpass.getuser(), _free_port()
    host, client = make_key(folder / "host"), make_key(folder / "client")
    shutil.copy(client.with_suffix(".pub"), folder / "authorized")
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {host.with_suffix('.pub').read_text()}")
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(port=port, folder=folder, user=user))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it asks for it, as root only
    with (folder / "log").open("wb") as log:
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        try:
            _wait(process, port, folder / "log")
            yield Sshd(user=user, port=port, client_key=client, known_hosts=known)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd does not listen: {log.read_text(errors='replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
