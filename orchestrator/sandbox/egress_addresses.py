"""Which addresses of the world a plugin's traffic may reach. Pure.

The table is written out rather than taken from `ipaddress`: its idea of "global" changes between
patch releases of Python. What is in no row and not in IPv6's global unicast range is refused too.
"""

from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The special-purpose registries of IANA, and what clouds keep there.
_REFUSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(text), reason)
    for text, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack and most others
        "169.254.170.2",  # AWS container credentials
        "169.254.170.23",
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's wire server, of all places in public space
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


def refusal_of(address: Address, allowed: tuple[Network, ...]) -> str:
    """Why nobody may connect there, in a few words; empty where it is fine.

    `allowed` are networks that the operator names. A metadata service is let through only by its
    own address: nobody who allows a private network means the credentials of the machine.
    """
    address = _unwrapped(address)
    inner = list(_embedded(address))
    if not _METADATA.isdisjoint((address, *inner)):
        named = any(network.num_addresses == 1 and address in network for network in allowed)
        return "" if named else "a cloud's metadata service"
    if any(address in network for network in allowed):
        return ""
    for each in inner:
        if reason := refusal_of(each, allowed):
            return f"a way to an address that is {reason}"
    return "" if address in _NAT64 else _reason(address)


def _unwrapped(address: Address) -> Address:
    """An IPv4-mapped address is the IPv4 address: the kernel connects to no other."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """IPv4 addresses that a translator or tunnel on the way would make of it."""
    if not isinstance(address, IPv6Address):
        return
    number = int(address)
    if address in _SIX_TO_FOUR:
        yield IPv4Address((number >> 80) & 0xFFFF_FFFF)
    if address in _NAT64 or (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)


def _reason(address: Address) -> str:
    for network, reason in _REFUSED:
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "reserved"
    return ""
