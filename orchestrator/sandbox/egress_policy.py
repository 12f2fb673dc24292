"""Where a plugin may go: hosts as requests write them, held to the hosts that were granted. Pure.

A host is normalised once; what is compared, resolved, connected to, sent as Host and audited is
that one value. Whatever a resolver or a URL library could take for an address is an address.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from types import MappingProxyType
from typing import Final

from orchestrator.model.base import Unexpected
from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.egress_addresses import Address, Network, refusal_of
from orchestrator.sandbox.http_head import shown

HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443
_MAX_HOST: Final = 253
_MAX_PORT: Final = 65_535
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# What inet_aton and the URL standard take for the end of an IPv4 address: 127.1, 0x7f.1, 017…
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A normalised host and port."""

    host: str
    port: int
    address: Address | None = None
    """Set where the host is an address and no name."""

    def authority(self, default_port: int | None = None) -> str:
        """As it stands in a Host header."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == default_port else f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.authority()


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """A credential that the broker adds, and the plugin never sees."""

    header: str
    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.header):
            raise Unexpected(found=repr(self.header), expected="a header's name")
        if not _VALUE.fullmatch(self.value) or self.value != self.value.strip():
            raise Unexpected(
                found=f"a value for {self.header} that is empty or holds more than one line",
                expected="printable ASCII without spaces at its ends",
            )


@dataclass(frozen=True, slots=True)
class _HostRule:
    endpoint: Endpoint
    any_below: bool

    def allows(self, endpoint: Endpoint) -> bool:
        if not self.any_below:
            return endpoint == self.endpoint
        return (
            endpoint.address is None
            and endpoint.port == self.endpoint.port
            and endpoint.host.endswith(f".{self.endpoint.host}")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRules:
    """What one plugin may reach."""

    hosts: tuple[_HostRule, ...]
    allowed_private: tuple[Network, ...]
    injections: Mapping[Endpoint, Injection]

    @classmethod
    def of(
        cls,
        *,
        hosts: tuple[str, ...],
        allowed_private: tuple[str, ...] = (),
        inject: Mapping[str, Injection] = MappingProxyType({}),
    ) -> "EgressRules":
        """From `host:port` and `*.host:port`, networks, and credentials by `host:port`.

        Raises ValueError for what is none of these.
        """
        return cls(
            hosts=tuple(_rule(text) for text in hosts),
            allowed_private=tuple(ip_network(text) for text in allowed_private),
            injections={_granted(text): injection for text, injection in inject.items()},
        )

    def check_host(self, endpoint: Endpoint) -> None:
        """Raises Refused for a host that was not granted."""
        if any(rule.allows(endpoint) for rule in self.hosts):
            return
        code, what = RefusalCode.HOST_NOT_ALLOWED, "one of the granted hosts"
        if endpoint.address is not None:
            code, what = (
                RefusalCode.IP_LITERAL_REFUSED,
                "a name; an address must be granted as such",
            )
        raise Refused(code, f"found {endpoint}, expected {what}", evidence=where(endpoint))

    def check_address(self, endpoint: Endpoint, address: Address) -> None:
        """Raises Refused for an address that nobody may connect to."""
        if reason := refusal_of(address, self.allowed_private):
            raise Refused(
                RefusalCode.ADDRESS_REFUSED,
                f"found that {endpoint} is {address}, which is {reason}, expected a public address",
                evidence={**where(endpoint), "address": str(address)},
            )

    def names(self, address: Address) -> bool:
        """Whether the operator let that address through by a network of its own."""
        return any(address in network for network in self.allowed_private)


def where(endpoint: Endpoint) -> dict[str, str | int]:
    """The evidence of every refusal that knows its target."""
    return {"host": endpoint.host, "port": endpoint.port}


def parse_endpoint(text: str, *, default_port: int | None = None) -> Endpoint:
    """`host:port` as a request writes it, normalised. Raises Refused."""
    host, port = _split(text)
    if not port and default_port is not None:
        number = default_port
    elif _PORT.fullmatch(port) and int(port) <= _MAX_PORT:
        number = int(port)
    else:
        raise _unusable(text, "a port from 1 to 65535")
    if host.startswith("["):
        address = _ipv6(text, host)
        return Endpoint(str(address), number, address)
    name = _name(text, host)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        ipv4 = _ipv4(text, name, number)
        return Endpoint(str(ipv4), number, ipv4)
    return Endpoint(name, number)


def _split(text: str) -> tuple[str, str]:
    """(host, port); the port empty where none was written."""
    if len(text) > _MAX_HOST + 8:
        raise _unusable(text, f"a host of at most {_MAX_HOST} characters")
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")) or rest == ":":
            raise _unusable(text, "[address]:port")
        return host + bracket, rest[1:]
    host, colon, port = text.partition(":")
    if not host or (colon and not port):
        raise _unusable(text, "host:port")
    return host, port


def _name(text: str, host: str) -> str:
    """Lower case, in ASCII, without the dot at its end."""
    try:
        name = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError as error:
        raise _unusable(text, "an internationalised name") from error
    name = name.lower().removesuffix(".")
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        # Also user:password@, percent-encoding, slashes and white space of every kind.
        raise _unusable(text, "a host name")
    return name


def _ipv4(text: str, name: str, port: int) -> IPv4Address:
    try:
        return IPv4Address(name)
    except AddressValueError:
        raise Refused(
            RefusalCode.IP_LITERAL_REFUSED,
            f"found {_quoted(text)}, an address in an odd notation, expected a name",
            evidence={"host": name, "port": port},
        ) from None


def _ipv6(text: str, host: str) -> IPv6Address:
    try:
        address = IPv6Address(host[1:-1])
    except AddressValueError:
        raise _unusable(text, "an IPv6 address in brackets") from None
    if address.scope_id is not None:
        raise _unusable(text, "an IPv6 address without a zone")
    return address


def _rule(text: str) -> _HostRule:
    any_below = text.startswith("*.")
    endpoint = _granted(text.removeprefix("*."))
    if any_below and endpoint.address is not None:
        raise Unexpected(found=repr(text), expected="*. before a name")
    return _HostRule(endpoint, any_below)


def _granted(text: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except Refused as refused:
        raise Unexpected(found=repr(text), expected="host:port or *.host:port") from refused


def _unusable(text: str, expected: str) -> Refused:
    found = _quoted(text)
    return Refused(
        RefusalCode.HOST_MALFORMED,
        f"found {found} as host and port, expected {expected}",
        evidence={"host": found},
    )


def _quoted(text: str) -> str:
    return shown(text.encode(errors="replace"))
