"""A PostgreSQL server in a container, from an image that is made of the host's Debian package.

No registry is asked: `scripts/test-services.sh install` sees to the programs, and what they need to
run is copied into an image whose tag is the hash of it all.
"""

import hashlib
import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.instance import ROOT, engine, eventually

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # read at import; its image would be pulled

import psycopg
from testcontainers.core.container import DockerContainer

USER, PASSWORD = "tester", "not-to-be-seen-anywhere"
LABEL = "orchestrator.test-postgres"
_OWNER = "1000:1000"
_START = """\
set -e
printf %s "$PASSWORD" > /state/password
initdb -D /state/data -U {user} --pwfile=/state/password --auth=scram-sha-256 \
  --locale=C --encoding=UTF8 --no-sync >/dev/null
exec postgres -D /state/data -c listen_addresses= -c fsync=off -c jit=off \
  -c unix_socket_directories=/sockets
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running one."""

    container: Any
    folder: Path
    """Where its socket is: no network is needed to reach it."""

    @property
    def url(self) -> str:
        """Without the password."""
        return f"postgresql://{USER}@/postgres?host={self.folder}"

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, password=PASSWORD, autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def answers(self) -> bool:
        try:
            return self.ask("SELECT 1") == [(1,)]
        except psycopg.Error:
            return False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes what is sent, and says nothing."""
        self.container.get_wrapped_container().pause()
        try:
            yield
        finally:
            self.container.get_wrapped_container().unpause()


@contextmanager
def postgres() -> Iterator[Server]:
    """For one run of the tests."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o777)
        container = (
            DockerContainer(_image())
            .with_env("PASSWORD", PASSWORD)
            .with_tmpfs_mount("/state")
            .with_tmpfs_mount("/tmp")
            .with_volume_mapping(folder, "/sockets", mode="rw")
            .with_kwargs(user=_OWNER, labels={LABEL: "1"}, cap_drop=["ALL"], network_mode="none")
            .with_command(["sh", "-c", _START.format(user=USER)])
        )
        with container:
            server = Server(container, Path(folder))
            eventually(server.answers, seconds=60)
            yield server


def _image() -> str:
    """Its tag; made if it is not there."""
    subprocess.run([ROOT / "scripts" / "test-services.sh", "install"], check=True)
    (bin_folder,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    version = bin_folder.parent.name
    files = {
        f"/usr/lib/postgresql/{version}/bin/{name}": bin_folder / name
        for name in ("postgres", "initdb")
    }
    files["/bin/sh"] = Path("/bin/sh").resolve()
    for name in ("plpgsql.so", "dict_snowball.so"):
        path = bin_folder.parent / "lib" / name
        files[str(path)] = path
    for binary in list(files.values()):
        files |= {library: Path(library).resolve() for library in _libraries(binary)}
    share = Path("/usr/share/postgresql") / version
    for path in sorted(share.rglob("*")):
        if path.is_file():
            files[str(path)] = path.resolve()
    stat = {name: path.stat() for name, path in sorted(files.items())}
    about = repr([(name, s.st_size, s.st_mtime_ns) for name, s in stat.items()])
    tag = f"orchestrator/test-postgres:{hashlib.sha256(about.encode()).hexdigest()[:16]}"
    with engine() as client:
        if not client.images(name=tag):
            repository, _, label = tag.partition(":")
            path_variable = f"ENV PATH=/usr/lib/postgresql/{version}/bin:/bin"
            client.import_image_from_data(
                _tar(files), repository=repository, tag=label, changes=[path_variable]
            )
    return tag


def _libraries(binary: Path) -> list[str]:
    """Where the loader looks for them, as a program names them."""
    said = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/[^ \n]+) \(0x", said)


def _tar(files: dict[str, Path]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, path in files.items():
            archive.add(path, arcname=name.lstrip("/"))
        for name, text in {
            "etc/passwd": f"postgres:x:{_OWNER}::/:/bin/sh\n",
            "etc/group": f"postgres:x:{_OWNER.partition(':')[0]}:\n",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()
