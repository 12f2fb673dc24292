"""The guard's rules: from a grant, and as text. What they hold is shown in tests/network/."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import NetworkAccess
from orchestrator.policy.guard import (
    NOT_GLOBAL,
    GuardRules,
    NetworkRuleUnusable,
    guard_rules,
    is_held_back,
    quota,
    ruleset,
)
from orchestrator.policy.guard_containers import host_spec, nft_spec, pause_spec

POOL = "10.213.0.0/16"
HOST = ("198.51.100.7", "172.17.0.1")
SHUT = (
    "100.100.100.200/32, 168.63.129.16/32, 169.254.0.0/16, 172.17.0.1/32, 192.0.0.192/32,"
    " 198.51.100.7/32"
)
NO_INTERNET = (
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 168.63.129.16/32, 169.254.0.0/16,"
    " 172.16.0.0/12, 192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24, 192.168.0.0/16, 198.18.0.0/15,"
    " 198.51.100.0/24, 203.0.113.0/24, 224.0.0.0/3"
)
NOTHING = GuardRules(quota_bytes=1_000)


def text(rules: GuardRules, *, used_bytes: int = 0) -> str:
    return ruleset(rules, host_addresses=HOST, pool=POOL, used_bytes=used_bytes)


def chain(rules: GuardRules, name: str) -> list[str]:
    """The rules of a chain, without those words that only count."""
    body = text(rules).split("flush table")[1].split(f"chain {name} {{\n")[1].split("\n}")[0]
    return [line.replace('counter name "refused" ', "") for line in body.splitlines()]


def granted(*allow: str, **more: object) -> GuardRules:
    fields = {"kind": "network_access", "allow": allow, **more}
    access = NetworkAccess.model_validate(fields)
    return guard_rules(access, ResourceLimits(max_network_mb=3))


def test_without_allow_it_is_the_internet_and_names() -> None:
    assert granted() == GuardRules(quota_bytes=3 << 20, internet=True, names=True)


def test_allow_is_all_that_there_is() -> None:
    assert granted("10.1.2.0/24", "10.9.9.9", "10.8.0.1/32") == GuardRules(
        quota_bytes=3 << 20, addresses=("10.8.0.1", "10.9.9.9"), networks=("10.1.2.0/24",)
    )


def test_words_add_the_internet_and_names_to_what_is_allowed() -> None:
    assert granted("internet", "10.1.2.3") == GuardRules(
        quota_bytes=3 << 20, addresses=("10.1.2.3",), internet=True, names=True
    )
    assert granted("dns", "10.1.2.3").names
    assert not granted("dns", "10.1.2.3").internet


def test_raw_and_low_ports_are_what_they_are_called() -> None:
    assert granted(raw=True).icmp
    assert granted(low_ports=True).low_source_ports
    assert granted(ports=(443, 80, 443)).ports == (80, 443)


@pytest.mark.parametrize(
    "found",
    ["example.com", "10.1.2.3/24", "fd00::1", "10.1.2", "", "10.0.0.0/33", "10.1.2.3; drop"],
)
def test_what_packets_cannot_be_told_by_is_refused(found: str) -> None:
    with pytest.raises(NetworkRuleUnusable, match=re.escape(repr(found))):
        granted(found)


def test_nothing_granted_lets_nothing_out() -> None:
    assert chain(NOTHING, "destinations") == [
        "ip daddr { 0.0.0.0/8, 10.213.0.0/16, 127.0.0.0/8, 224.0.0.0/3 } drop",
        f"ip daddr {{ {SHUT} }} drop",
        "drop",
    ]


def test_the_narrowest_place_decides_first() -> None:
    rules = GuardRules(
        quota_bytes=1, addresses=("172.17.0.1",), networks=("172.16.0.0/12",), internet=True
    )
    found = chain(rules, "destinations")

    assert [line.split(" ", 2)[2] for line in found if "goto" in line] == [
        "{ 172.17.0.1/32 } goto sending",
        "{ 172.16.0.0/12 } goto sending",
        f"!= {{ {NO_INTERNET} }} goto sending",
    ]
    assert [line.endswith("drop") for line in found] == [True, False, True, False, False, True]


def test_every_packet_out_is_weighed_whoever_began_the_connection() -> None:
    assert chain(NOTHING, "output") == [
        "meta nfproto != ipv4 drop",
        'oifname "lo" ip daddr 127.0.0.11 drop',
        'oifname "lo" accept',
        "meta l4proto { tcp, udp } th sport >= 1024 goto destinations",
        "drop",
    ]


def test_each_grant_opens_its_one_line() -> None:
    rules = GuardRules(quota_bytes=1, names=True, ports=(80, 443), icmp=True, low_source_ports=True)

    assert chain(rules, "output") == [
        "meta nfproto != ipv4 drop",
        'oifname "lo" ip daddr 127.0.0.11 goto sending',
        'oifname "lo" ip saddr 127.0.0.11 goto receiving',
        "meta skuid 0 meta l4proto { tcp, udp } th dport 53 accept",
        'oifname "lo" accept',
        "meta l4proto icmp goto destinations",
        "meta l4proto { tcp, udp } th dport { 80, 443 } goto destinations",
        "drop",
    ]


def test_only_answers_come_in() -> None:
    assert chain(NOTHING, "input") == [
        'iifname "lo" accept',
        "meta nfproto != ipv4 drop",
        "ct state established goto receiving",
        "ct state related meta l4proto icmp goto receiving",
        "drop",
    ]


def test_whatever_passes_is_counted_against_the_quota() -> None:
    quota = 'quota name "traffic" drop'

    assert chain(NOTHING, "sending") == [quota, 'counter name "sent" accept']
    assert chain(NOTHING, "receiving") == [quota, 'counter name "received" accept']


@pytest.mark.parametrize("hook", ["input", "output", "forward"])
def test_what_no_rule_knows_is_dropped(hook: str) -> None:
    assert f"chain {hook} {{ type filter hook {hook} priority 0; policy drop; }}" in text(NOTHING)


@pytest.mark.parametrize(("quota", "shown"), [(1_000, 1_000), (0, 1)])
def test_the_quota_is_the_limit_and_what_was_used_before(quota: int, shown: int) -> None:
    found = text(GuardRules(quota_bytes=quota), used_bytes=77)

    assert f"quota traffic {{ over {shown} bytes used 77 bytes }}" in found


def test_loading_again_keeps_the_quota_and_touches_no_other_table() -> None:
    """The engine keeps its own rules for names in the same namespace."""
    found = text(NOTHING)

    assert "flush table inet orchestrator\n" in found
    assert "flush ruleset" not in found
    assert "delete" not in found


@given(address=st.ip_addresses(v=4))
def test_what_is_not_global_is_no_internet(address: ipaddress.IPv4Address) -> None:
    """Python's copy of the registry is the oracle; we are stricter by clouds' public metadata."""
    inside = any(address in ipaddress.ip_network(place) for place in NOT_GLOBAL)

    assert inside or address.is_global


def test_the_pause_and_the_host_question_hold_no_capability() -> None:
    pause = pause_spec("a", image="i", network="n", seccomp_profile="p")
    host = host_spec(image="i", seccomp_profile="p")

    for spec in (pause, host):
        assert (spec.capabilities, spec.user, spec.seccomp_profile) == ((), "65532:65532", "p")
        assert spec.read_only_root
    assert (pause.network_mode, host.network_mode) == ("n", "host")


def test_the_helper_holds_net_admin_alone_and_only_in_the_plugins_network() -> None:
    helper = nft_spec(image="i", pause="x-a-pause", commands=("list ruleset",))

    assert helper.capabilities == ("NET_ADMIN",)
    assert helper.network_mode == "container:x-a-pause"
    assert (helper.bind_mounts, helper.read_only_root) == ((), True)


@pytest.mark.parametrize(
    ("place", "allowed", "verdict"),
    [
        ("192.175.48.77/32", (), "open"),
        ("192.175.48.0/24", (), "open"),
        ("10.1.2.3/32", (), "held back"),
        ("10.1.2.3/32", ("10.0.0.0/8",), "open"),
        ("10.1.2.3/32", ("fd00::/8", "10.1.2.3/32"), "open"),
        ("10.1.0.0/16", ("10.1.2.0/24",), "held back"),
        ("0.0.0.0/0", (), "held back"),
        ("0.0.0.0/0", ("10.0.0.0/8",), "held back"),
        ("0.0.0.0/0", ("0.0.0.0/0",), "open"),
        ("169.254.169.254/32", ("10.0.0.0/8",), "held back"),
        ("169.254.169.254/32", ("169.254.169.254/32",), "open"),
        ("168.63.129.16/32", (), "held back"),
        ("127.0.0.1/32", (), "open"),
    ],
)
def test_what_is_no_part_of_the_internet_needs_the_policy(
    place: str, allowed: tuple[str, ...], verdict: str
) -> None:
    """Loopback is its own, and of no use: the guard drops it whatever is allowed."""
    found = "held back" if is_held_back(place, allowed) else "open"

    assert found == verdict


def test_a_quota_is_at_least_a_byte_and_says_what_is_used() -> None:
    assert quota(0, used_bytes=7).split("\n")[1] == "quota traffic { over 1 bytes used 7 bytes }"
