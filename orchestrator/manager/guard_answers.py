"""What the guard's helpers print, read. Pure."""

import json
from dataclasses import dataclass

from orchestrator.errors import Kind, OrchestratorError


class GuardAnswerUnreadable(OrchestratorError):
    """A helper ended well, but printed something else than expected."""

    kind, code = Kind.INTERNAL, "guard_answer_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardCounters:
    """One plugin's network since its pause started; bytes are those of IP packets."""

    quota_bytes: int
    used_bytes: int
    """Towards the quota; nft tells at most the quota itself, whatever was refused beyond."""
    sent_bytes: int = 0
    received_bytes: int = 0
    refused_packets: int = 0
    refused_bytes: int = 0

    @property
    def passed_bytes(self) -> int:
        return self.sent_bytes + self.received_bytes

    @property
    def exhausted(self) -> bool:
        return self.used_bytes >= self.quota_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNetwork:
    """What the engine's host has, IPv4."""

    addresses: tuple[str, ...]
    """Its own, loopback left out."""
    networks: tuple[str, ...]
    """Where it has routes to: no plugin's network may lie there."""


def read_counters(text: str) -> GuardCounters:
    """The answer to `nft -j "list quotas; list counters"`: a JSON document each."""
    decoder, rest, items = json.JSONDecoder(), text.strip(), []
    try:
        while rest:
            document, end = decoder.raw_decode(rest)
            items += document["nftables"]
            rest = rest[end:].lstrip()
        quota = next(item["quota"] for item in items if "quota" in item)
        counters = {it["counter"]["name"]: it["counter"] for it in items if "counter" in it}
        return GuardCounters(
            quota_bytes=quota["bytes"],
            used_bytes=quota["used"],
            sent_bytes=counters["sent"]["bytes"],
            received_bytes=counters["received"]["bytes"],
            refused_packets=counters["refused"]["packets"],
            refused_bytes=counters["refused"]["bytes"],
        )
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise GuardAnswerUnreadable(
            f"found {text[:200]!r} from nft, expected the JSON of a quota and three counters"
        ) from error


def read_host_network(text: str) -> HostNetwork:
    """The answer to `ip -o -4 addr && echo -- && ip -4 route show table all`."""
    addresses_text, separator, routes_text = text.partition("\n--\n")
    words = [line.split() for line in addresses_text.splitlines()]
    found = [line[line.index("inet") + 1] for line in words if "inet" in line]
    addresses = sorted({it.partition("/")[0] for it in found if not it.startswith("127.")})
    if not separator or not found:
        raise GuardAnswerUnreadable(
            f"found {text[:200]!r} from ip, expected the host's addresses and routes"
        )
    routes = [_destination(line.split()) for line in routes_text.splitlines() if line.strip()]
    return HostNetwork(
        addresses=tuple(addresses),
        networks=tuple(sorted({route for route in routes if route is not None})),
    )


_ROUTE_TYPES = {"local", "broadcast", "unicast", "unreachable", "prohibit", "blackhole", "throw"}
_DEFAULTS = {"default", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"}
"""Ways to everywhere; the halves are how VPNs write one."""


def _destination(words: list[str]) -> str | None:
    place = words[1] if words[0] in _ROUTE_TYPES and len(words) > 1 else words[0]
    return None if place in _DEFAULTS else place
