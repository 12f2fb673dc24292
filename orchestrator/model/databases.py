"""Database: a database that policy names, and where it answers. Plugins are given it by name."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from orchestrator.model.base import Model, Unexpected

_MOST_PORT: Final = 65_535


class DatabaseKind(StrEnum):
    """Decides nothing but the name of the socket: the protocol is between plugin and database."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    REDIS = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    host: str
    port: int


DatabaseAddress = UnixAddress | TcpAddress


def parse_address(text: str) -> DatabaseAddress:
    """Raises Unexpected, a ValueError."""
    if text.startswith("/"):
        return UnixAddress(path=text)
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host == f"[{bare}]"
    named = bool(bare) and not set("[]") & set(bare) and (":" in bare) == bracketed
    if not named or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MOST_PORT:
        raise Unexpected(
            found=repr(text),
            expected="host:port, [IPv6]:port or the absolute path of a unix socket",
        )
    return TcpAddress(host=bare, port=int(port))


def _address(text: str) -> str:
    parse_address(text)
    return text


class Database(Model):
    """A database that plugins may be given by name."""

    kind: Annotated[DatabaseKind, Field(strict=False)]
    """The name of its socket in the container, as drivers expect it."""
    address: Annotated[str, AfterValidator(_address)]
    """`host:port`, `[IPv6]:port` or the absolute path of a unix socket."""
