"""DatabaseTarget: a granted database: where it answers, and where the plugin finds it."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.model.databases import DatabaseAddress, DatabaseKind

SOCKET_NAMES: Final = MappingProxyType(
    {
        DatabaseKind.POSTGRESQL: ".s.PGSQL.5432",  # drivers take the folder and add this
        DatabaseKind.MYSQL: "mysqld.sock",
        DatabaseKind.REDIS: "redis.sock",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTarget:
    """One granted database.

    The database sees the orchestrator connect: over a unix socket `peer` authentication would
    believe the plugin to be the orchestrator's user, so the database must ask for a password.
    """

    name: str
    kind: DatabaseKind
    address: DatabaseAddress

    @property
    def socket_path(self) -> str:
        """Below the folder of sockets."""
        return f"db/{self.name}/{SOCKET_NAMES[self.kind]}"
