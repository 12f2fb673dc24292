"""Uplink: names resolved by the host, every address checked, and a checked one connected to.

Between the check and the connection lies no second resolution: an attacker who owns the name's
zone could answer it differently (DNS rebinding).
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.egress_addresses import Address
from orchestrator.sandbox.egress_policy import EgressRules, Endpoint, where
from orchestrator.sandbox.egress_request import EgressRequest
from orchestrator.sandbox.http_server import PIECE_BYTES
from orchestrator.sandbox.lookup import LookUps, look_up

_MAX_ADDRESSES: Final = 8
_DISCARD_PORT: Final = 9


class Uplink(Protocol):
    """The host's own network, as far as the broker uses it."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name. Raises OSError."""

    async def connect(self, address: Address, port: int) -> socket.socket:
        """A connected non-blocking socket. Raises OSError."""

    def is_own(self, address: Address) -> bool:
        """Whether it is this machine's: its services trust who comes from here."""

    def tls(self) -> ssl.SSLContext:
        """How certificates are checked where the broker itself speaks TLS."""


class HostUplink:
    """The real one."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return await look_up(host, port)

    async def connect(self, address: Address, port: int) -> socket.socket:
        sock = socket.socket(_family(address), socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.setblocking(False)  # noqa: FBT003 - the socket API's own
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        except BaseException:
            sock.close()
            raise
        return sock

    def is_own(self, address: Address) -> bool:
        """The kernel takes an address of its own as source too; a UDP connect sends nothing."""
        with socket.socket(_family(address), socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            try:
                probe.connect((str(address), _DISCARD_PORT))
            except OSError:
                return False  # no way there: connecting will say so
            return ip_address(probe.getsockname()[0]) == address

    def tls(self) -> ssl.SSLContext:
        return self._tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made once: reading the host's certificates takes tens of milliseconds."""
        return ssl.create_default_context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The connection to a host."""

    address: Address
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Dialler:
    """Gets one plugin's requests to their hosts."""

    def __init__(
        self,
        uplink: Uplink,
        rules: EgressRules,
        *,
        resolve_seconds: float,
        connect_seconds: float,
        lookups: int,
    ) -> None:
        self._uplink = uplink
        self._rules = rules
        self._resolve_seconds = resolve_seconds
        self._connect_seconds = connect_seconds
        self._lookups = LookUps(lookups)

    async def dial(self, request: EgressRequest) -> Upstream:
        """Raises Refused."""
        addresses = await self._checked(request.endpoint)
        async with self._bounded(
            request.endpoint, self._connect_seconds, RefusalCode.CONNECT_FAILED, "connection"
        ):
            return await self._first(addresses, request)

    async def _checked(self, endpoint: Endpoint) -> list[Address]:
        """All of them must do: a name that also leads inside is not one to trust."""
        addresses = [endpoint.address] if endpoint.address else await self._resolve(endpoint)
        for address in addresses:
            self._rules.check_address(endpoint, address)
            if not self._rules.names(address) and self._uplink.is_own(address):
                raise Refused(
                    RefusalCode.ADDRESS_REFUSED,
                    f"found that {endpoint} is {address}, this machine itself, expected another",
                    evidence={**where(endpoint), "address": str(address)},
                )
        return addresses

    async def _resolve(self, endpoint: Endpoint) -> list[Address]:
        async with self._bounded(
            endpoint, self._resolve_seconds, RefusalCode.NAME_NOT_RESOLVED, "address"
        ):
            texts = await self._lookups.run(
                lambda: asyncio.get_running_loop().create_task(
                    self._uplink.resolve(endpoint.host, endpoint.port)
                )
            )
            addresses = [ip_address(text) for text in dict.fromkeys(texts)]
            if not addresses:
                raise OSError("the name has no address")
            return addresses

    async def _first(self, addresses: list[Address], request: EgressRequest) -> Upstream:
        """Through to the first that answers, within equal shares of the time."""
        tried = addresses[:_MAX_ADDRESSES]
        trouble = OSError("no address")
        for address in tried:
            try:
                async with asyncio.timeout(self._connect_seconds / len(tried)):
                    return await self._open(address, request)
            except OSError as error:  # a TimeoutError is one
                trouble = error
        raise trouble

    async def _open(self, address: Address, request: EgressRequest) -> Upstream:
        sock = await self._uplink.connect(address, request.endpoint.port)
        try:
            reader, writer = await asyncio.open_connection(
                sock=sock,
                limit=PIECE_BYTES,
                ssl=self._uplink.tls() if request.tls else None,
                server_hostname=request.endpoint.host if request.tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return Upstream(address=address, reader=reader, writer=writer)

    @asynccontextmanager
    async def _bounded(
        self, endpoint: Endpoint, seconds: float, code: RefusalCode, what: str
    ) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except (OSError, ValueError) as error:
            why = f"none within {seconds:g} s" if isinstance(error, TimeoutError) else str(error)
            raise Refused(
                code, f"found no {what} of {endpoint}: {why}", evidence=where(endpoint)
            ) from error


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
