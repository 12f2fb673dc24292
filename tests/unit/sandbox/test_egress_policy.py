"""Hosts in every notation, and every address that nobody may reach."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.egress_addresses import refusal_of
from orchestrator.sandbox.egress_policy import EgressRules, Injection, parse_endpoint

RULES = EgressRules.of(
    hosts=(
        "api.example.com:443",
        "*.example.org:443",
        "xn--bcher-kva.example:443",
        "8.8.8.8:53",
        "127.0.0.1:8080",
    )
)


def verdict(text: str) -> str:
    """`ok`, or the refusal's code."""
    try:
        RULES.check_host(parse_endpoint(text))
    except Refused as refused:
        return refused.code
    return "ok"


@pytest.mark.parametrize(
    "text",
    [
        "api.example.com:443",
        "API.Example.COM:443",
        "api.example.com.:443",
        "a.example.org:443",
        "a.b.example.org:443",
        "bücher.example:443",
        "BÜCHER.example:443",
        "8.8.8.8:53",
    ],
)
def test_a_granted_host_is_recognised_however_it_is_written(text: str) -> None:
    assert verdict(text) == "ok"


@pytest.mark.parametrize(
    "text",
    [
        "api.example.com:80",
        "api.example.com:4430",
        "example.com:443",
        "xapi.example.com:443",
        "api.example.com.evil.net:443",
        "evil.net:443",
        "example.org:443",
        "evilexample.org:443",
        "a.example.org:80",
        "a.example.org.evil.net:443",
        "localhost:443",
    ],
)
def test_every_other_host_is_refused(text: str) -> None:
    assert verdict(text) == "host_not_allowed"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "8.8.8.8",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.0x1",
        "127.0.0.01",
        "127.0.0.1.",
        "1.2.3.4.5",
        "256.1.1.1",
        "0",
        "0x",
        "a.0x7f",
        "\uff11\uff12\uff17.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::]",
    ],
)
def test_an_address_is_refused_in_every_notation(host: str) -> None:
    assert verdict(f"{host}:443") == "ip_literal_refused"


@pytest.mark.parametrize("text", ["127.1:8080", "0x7f.0.0.1:8080", "2130706433:8080"])
def test_an_odd_notation_of_a_granted_address_is_refused_too(text: str) -> None:
    assert verdict("127.0.0.1:8080") == "ok"
    assert verdict(text) == "ip_literal_refused"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":443",
        "api.example.com",
        "api.example.com:",
        "api.example.com:0",
        "api.example.com:0443",
        "api.example.com:65536",
        "api.example.com:443443443",
        "api.example.com:+443",
        "api.example.com: 443",
        "api.example.com:443:443",
        "api.example.com:443/",
        "api.example.com..:443",
        ".api.example.com:443",
        "api..example.com:443",
        "-api.example.com:443",
        "api.example.com-:443",
        "user@api.example.com:443",
        "user:pass@api.example.com:443",
        "api.example.com:443@evil.net:443",
        "api%2eexample.com:443",
        "%31%32%37.0.0.1:443",
        "api.example.com%00.evil.net:443",
        "api.example.com#.evil.net:443",
        "api.example.com\\.evil.net:443",
        "api.example.com\t:443",
        "api example.com:443",
        "*.example.org:443",
        "[::1:443",
        "[::1]443",
        "[::1]:",
        "[]:443",
        "[fe80::1%eth0]:443",
        "[fe80::1%25eth0]:443",
        "[127.0.0.1]:443",
        "[v1.fe]:443",
        "::1:443",
        f"{'a' * 64}.example.org:443",
        f"{'a.' * 130}example.org:443",
        "é" * 300 + ":443",
        "xn--\u0000:443",
    ],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    assert verdict(text) == "host_malformed"


@given(st.text(max_size=60))
def test_any_text_is_an_endpoint_or_refused(text: str) -> None:
    refusals = {RefusalCode.HOST_MALFORMED, RefusalCode.IP_LITERAL_REFUSED}
    try:
        endpoint = parse_endpoint(text)
    except Refused as refused:
        code = refused.code
    else:
        code = RefusalCode.HOST_MALFORMED
        assert parse_endpoint(str(endpoint)) == endpoint
        assert str(endpoint).isascii()

    assert code in refusals


def test_a_granted_ipv6_address_is_compared_by_value() -> None:
    rules = EgressRules.of(hosts=("[2606:4700:0:0::1]:443",))

    rules.check_host(parse_endpoint("[2606:4700::0001]:443"))


@pytest.mark.parametrize("text", ["example.com", "*.1.2.3.4:80", "127.1:80", "a.b:99999", "*:443"])
def test_a_host_that_cannot_be_granted_is_a_fault_of_the_operators(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        EgressRules.of(hosts=(text,))


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Bad Name", "x"),
        ("A:", "x"),
        ("", "x"),
        ("A", ""),
        ("A", "x\r\nB: y"),
        ("A", " x"),
        ("A", "é"),
    ],
)
def test_a_credential_that_would_write_a_second_header_is_refused(header: str, value: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Injection(header=header, value=value)


def test_a_credential_does_not_show_itself() -> None:
    assert "hunter2" not in repr(Injection(header="Authorization", value="hunter2"))


# -- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),  # noqa: S104
        ("0.1.2.3", "unspecified"),
        ("10.0.0.1", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.1", "shared by a carrier (CGNAT)"),
        ("100.127.255.255", "shared by a carrier (CGNAT)"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.0.1", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4 relay"),
        ("192.168.0.1", "private"),
        ("198.18.0.1", "benchmarks"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("169.254.169.254", "a cloud's metadata service"),
        ("169.254.170.2", "a cloud's metadata service"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "a cloud's metadata service"),
        ("64:ff9b::7f00:1", "a way to an address that is loopback"),
        ("64:ff9b::a9fe:a9fe", "a cloud's metadata service"),
        ("64:ff9b:1::1", "local NAT64"),
        ("2002:7f00:1::1", "a way to an address that is loopback"),
        ("2002:a00:1::1", "a way to an address that is private"),
        ("2002:a9fe:a9fe::", "a cloud's metadata service"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
        ("2606:4700::5efe:10.0.0.1", "a way to an address that is private"),
        ("2606:4700::200:5efe:10.0.0.1", "a way to an address that is private"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("100::1", "reserved"),
        ("4000::1", "reserved"),
        ("5f00::1", "reserved"),
    ],
)
def test_an_address_inside_is_refused(address: str, reason: str) -> None:
    assert refusal_of(ip_address(address), ()) == reason


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ],
)
def test_a_public_address_is_fine(address: str) -> None:
    assert refusal_of(ip_address(address), ()) == ""


@given(st.ip_addresses(v=4))
def test_no_address_that_python_calls_private_or_shared_passes(address: object) -> None:
    found = ip_address(str(address))
    inside = found.is_private or found.is_multicast or found.is_reserved or found.is_loopback

    assert not inside or refusal_of(found, ())


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_is_not_global_passes(address: object) -> None:
    found = ip_address(str(address))

    assert found.is_global or refusal_of(found, ())


@pytest.mark.parametrize(
    ("address", "network", "fine"),
    [
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16", True),
        ("64:ff9b::a01:203", "10.1.0.0/16", True),
        ("fd12::1", "fd12::/16", True),
        ("169.254.169.254", "169.254.0.0/16", False),
        ("169.254.169.254", "0.0.0.0/0", False),
        ("169.254.169.254", "169.254.169.254/32", True),
        ("::ffff:169.254.169.254", "169.254.0.0/16", False),
        ("fd00:ec2::254", "fc00::/7", False),
    ],
)
def test_the_operator_lets_networks_through_but_metadata_only_by_its_address(
    address: str, network: str, *, fine: bool
) -> None:
    assert (refusal_of(ip_address(address), (ip_network(network),)) == "") is fine
