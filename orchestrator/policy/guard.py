"""The network guard's rules: from a network_access permission to the text that `nft` loads. Pure.

The text may be loaded again at any time: it replaces the rules in one transaction, and leaves the
quota and the counters as they are. What no rule lets through is dropped.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import NetworkAccess

TABLE = "orchestrator"
INTERNET = "internet"
"""In `allow`: every address that is globally reachable, and names."""
NAMES = "dns"
"""In `allow`: only the resolution of names, which also carries data to whoever serves them."""

RESOLVER = "127.0.0.11"
"""The resolver that Docker puts into every network namespace on a network of one's own."""
SMALLEST_QUOTA_BYTES = 1
_MEBIBYTE = 1 << 20
_FIRST_UNPRIVILEGED_PORT = 1_024

NEVER = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")
"""Unspecified, loopback, multicast, reserved and broadcast: nothing opens these."""

METADATA = ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
"""Where clouds tell a machine its secrets; only an `allow` of the very address opens one."""

NOT_GLOBAL = (
    *NEVER,
    *METADATA,
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
)
"""The IANA registry of special-purpose IPv4 addresses, and METADATA: no part of the internet."""


class NetworkRuleUnusable(OrchestratorError):
    """`allow` names something that packets cannot be told by."""

    kind, code = Kind.INVALID, "network_rule_unusable"

    def __init__(self, found: str, why: str = "") -> None:
        super().__init__(
            f"network_access.allow: found {found!r}{why}, expected an IPv4 address or network"
            f" (10.1.2.0/24), {INTERNET!r} or {NAMES!r}; hosts by name go into external_api"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRules:
    """What one plugin may reach; by default nothing."""

    quota_bytes: int
    """Both directions together, IP headers included."""
    addresses: tuple[str, ...] = ()
    """Single addresses that were named, the only way to the host's own and to metadata."""
    networks: tuple[str, ...] = ()
    internet: bool = False
    names: bool = False
    ports: tuple[int, ...] = ()
    """Destination ports; empty is any."""
    icmp: bool = False
    low_source_ports: bool = False
    """Source ports below 1024 tell old services (NFS, rsh) that root asks."""


def guard_rules(access: NetworkAccess, limits: ResourceLimits) -> GuardRules:
    """The rules of a grant. Without `allow` it is the internet. Raises NetworkRuleUnusable."""
    words = {INTERNET, NAMES} & set(access.allow)
    places = sorted({_network(text) for text in access.allow if text not in words})
    internet = INTERNET in words or not access.allow
    return GuardRules(
        quota_bytes=limits.max_network_mb * _MEBIBYTE,
        addresses=tuple(str(p.network_address) for p in places if p.prefixlen == p.max_prefixlen),
        networks=tuple(str(p) for p in places if p.prefixlen < p.max_prefixlen),
        internet=internet,
        names=internet or NAMES in words,
        ports=tuple(sorted(set(access.ports))),
        icmp=access.raw,
        low_source_ports=access.low_ports,
    )


def _network(text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        hint = " (bits beyond its length are set)" if "host bits" in str(error) else ""
        raise NetworkRuleUnusable(text, hint) from error


def is_held_back(place: str, allowed: Iterable[str]) -> bool:
    """Whether some of `place` is no part of the internet, and in no network of `allowed`."""
    wanted = ipaddress.IPv4Network(place)
    networks = map(ipaddress.ip_network, allowed)
    open_ = [net for net in networks if isinstance(net, ipaddress.IPv4Network)]
    for text in set(NOT_GLOBAL) - set(NEVER):
        reserved = ipaddress.IPv4Network(text)
        if not wanted.overlaps(reserved):
            continue
        part = wanted if wanted.prefixlen >= reserved.prefixlen else reserved
        if not any(part.subnet_of(net) for net in open_):
            return True
    return False


def ruleset(
    rules: GuardRules, *, host_addresses: Iterable[str], pool: str, used_bytes: int = 0
) -> str:
    """What `nft` loads into the plugin's network namespace.

    `pool` is where the plugins' own networks lie, each with its gateway on the host;
    `used_bytes` is what the quota starts from, where there is none yet.
    """
    host = [*host_addresses, *METADATA]
    return "\n".join(
        [
            f"table inet {TABLE} {{",
            _quota(rules.quota_bytes, used_bytes),
            *(f"counter {name} {{ }}" for name in ("sent", "received", "refused")),
            *(
                f"chain {hook} {{ type filter hook {hook} priority 0; policy drop; }}"
                for hook in ("input", "forward", "output")
            ),
            "chain sending { }",
            "chain receiving { }",
            "chain destinations { }",
            "}",
            f"flush table inet {TABLE}",
            f"table inet {TABLE} {{",
            *_counted(),
            *_chain("destinations", _destinations(rules, host, pool)),
            *_chain("output", _output(rules)),
            *_chain("input", _INPUT),
            "}",
        ]
    )


def quota(quota_bytes: int, *, used_bytes: int) -> str:
    """What `nft` loads to change the quota alone; what is used already stays used."""
    return f"table inet {TABLE} {{\n{_quota(quota_bytes, used_bytes)}\n}}"


def new_quota(quota_bytes: int) -> str:
    """What `nft` loads, in one transaction, for a quota of which nothing is used.

    For one that is exhausted: it has counted what it refused, too, and does not tell how much.
    """
    return "\n".join(
        [
            *(f"flush chain inet {TABLE} {name}" for name in ("sending", "receiving")),
            f"delete quota inet {TABLE} traffic",
            f"table inet {TABLE} {{",
            _quota(quota_bytes, 0),
            *_counted(),
            "}",
        ]
    )


def _counted() -> list[str]:
    return [
        *_chain("sending", [_OVER_QUOTA, 'counter name "sent" accept']),
        *_chain("receiving", [_OVER_QUOTA, 'counter name "received" accept']),
    ]


def _quota(quota_bytes: int, used_bytes: int) -> str:
    most = max(quota_bytes, SMALLEST_QUOTA_BYTES)
    return f"quota traffic {{ over {most} bytes used {used_bytes} bytes }}"


_REFUSE = 'counter name "refused" drop'
_OVER_QUOTA = f'quota name "traffic" {_REFUSE}'

_INPUT = [
    'iifname "lo" accept',
    f"meta nfproto != ipv4 {_REFUSE}",
    "ct state established goto receiving",
    # Errors about one's own packets: without "fragmentation needed" connections would hang.
    "ct state related meta l4proto icmp goto receiving",
    _REFUSE,
]


def _output(rules: GuardRules) -> list[str]:
    """No `established` here: a rule that is taken away ends what it had let through."""
    sources = "" if rules.low_source_ports else f" th sport >= {_FIRST_UNPRIVILEGED_PORT}"
    ports = f" th dport {_set(map(str, rules.ports))}" if rules.ports else ""
    return [
        f"meta nfproto != ipv4 {_REFUSE}",
        *(_NAMES_OPEN if rules.names else [f'oifname "lo" ip daddr {RESOLVER} {_REFUSE}']),
        'oifname "lo" accept',
        *(["meta l4proto icmp goto destinations"] if rules.icmp else []),
        f"meta l4proto {{ tcp, udp }}{sources}{ports} goto destinations",
        _REFUSE,
    ]


# Queries count towards the quota on their way to the resolver, since names carry data, too. The
# engine then asks the host's name servers from inside this namespace (as root, which no plugin
# is), or from the host's: that leg is not counted.
_NAMES_OPEN = [
    f'oifname "lo" ip daddr {RESOLVER} goto sending',
    f'oifname "lo" ip saddr {RESOLVER} goto receiving',
    "meta skuid 0 meta l4proto { tcp, udp } th dport 53 accept",
]


def _destinations(rules: GuardRules, host: list[str], pool: str) -> list[str]:
    """From the narrowest to the widest; the first that knows the address decides."""
    lines = [f"ip daddr {_networks([*NEVER, pool])} {_REFUSE}"]
    if rules.addresses:
        lines.append(f"ip daddr {_networks(rules.addresses)} goto sending")
    lines.append(f"ip daddr {_networks(host)} {_REFUSE}")
    if rules.networks:
        lines.append(f"ip daddr {_networks(rules.networks)} goto sending")
    if rules.internet:
        lines.append(f"ip daddr != {_networks(NOT_GLOBAL)} goto sending")
    return [*lines, _REFUSE]


def _networks(places: Iterable[str]) -> str:
    """A set without overlaps, which nft would refuse."""
    networks = ipaddress.collapse_addresses(ipaddress.IPv4Network(place) for place in places)
    return _set(str(network) for network in networks)


def _set(items: Iterable[str]) -> str:
    return f"{{ {', '.join(items)} }}"


def _chain(name: str, lines: list[str]) -> list[str]:
    return [f"chain {name} {{", *lines, "}"]
