"""Notes in PostgreSQL, their number in Redis: ordinary drivers, sockets instead of a network."""

import os
import socket
from pathlib import Path

import psycopg
import redis
from orchestrator_sdk import PluginInterface, tool

SOCKETS = Path(os.environ["ORCHESTRATOR_SOCKETS"]) / "db"


def _secret(name: str) -> str:
    return Path("/run/secrets", name).read_text(encoding="utf-8").strip()


def _main() -> "psycopg.Connection[tuple[str]]":
    return psycopg.connect(
        host=str(SOCKETS / "main"),  # the driver adds /.s.PGSQL.5432
        user="tester",
        dbname="postgres",
        password=_secret("main_password"),
        application_name="ledger",
    )


class Ledger(PluginInterface):
    """One connection a call; a pool would do as well."""

    held: "psycopg.Connection[tuple[str]] | None" = None

    @tool
    def note(self, text: str) -> dict[str, object]:
        with _main() as main:
            main.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
            main.execute("INSERT INTO notes VALUES (%s)", [text])
            notes = [row[0] for row in main.execute("SELECT text FROM notes")]
        cache = redis.Redis(
            unix_socket_path=str(SOCKETS / "cache" / "redis.sock"),
            password=_secret("cache_password"),
        )
        with cache:
            return {"count": cache.incr("notes"), "notes": notes}

    @tool
    def large(self, bytes: int) -> int:  # noqa: A002 - the input's own name
        with _main() as main:
            [text] = main.execute("SELECT repeat('x', %s)", [bytes]).fetchone() or ("",)
        return len(text)

    @tool
    def hold(self) -> str:
        self.held = _main()
        return "held"

    @tool
    def look(self) -> dict[str, object]:
        found = sorted(str(path.relative_to(SOCKETS)) for path in SOCKETS.rglob("*"))
        return {"sockets": found, "links": sorted(name for _, name in socket.if_nameindex())}
