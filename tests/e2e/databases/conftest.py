"""A PostgreSQL and a Redis of the tests' own, once a run, and the policy that names them."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "test-services.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where they answer."""

    folder: str
    password: str
    postgresql_port: str
    postgresql_socket: str
    redis_port: str
    redis_socket: str

    @property
    def policy(self) -> dict[str, Any]:
        """`policy.databases`: behind a socket, behind a port, and one that nobody is granted."""
        return {
            "main": {"kind": "postgresql", "address": self.postgresql_socket},
            "cache": {"kind": "redis", "address": f"127.0.0.1:{self.redis_port}"},
            "other": {"kind": "postgresql", "address": f"127.0.0.1:{self.postgresql_port}"},
        }

    def password_file(self, folder: Path) -> str:
        """A file for a manifest's `secrets`."""
        file = folder / "password"
        file.write_text(self.password)
        return str(file)

    def ask(self, sql: str) -> list[Any]:
        """As the operator, past every broker."""
        with psycopg.connect(
            host="127.0.0.1",
            port=int(self.postgresql_port),
            user="tester",
            dbname="postgres",
            password=self.password,
        ) as connection:
            return [row[0] for row in connection.execute(sql.encode()).fetchall()]


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    run = subprocess.run([SCRIPT, "start"], check=True, capture_output=True, text=True)
    found = Services(**dict(line.split("=", 1) for line in run.stdout.splitlines()))
    yield found
    subprocess.run([SCRIPT, "stop", found.folder], check=True)
