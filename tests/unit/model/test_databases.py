"""Where a database answers, as policy writes it."""

import pytest

from orchestrator.model.base import Unexpected
from orchestrator.model.databases import TcpAddress, UnixAddress, parse_address
from orchestrator.model.policy import SecurityPolicy


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/pg/.s.PGSQL.5432", UnixAddress(path="/run/pg/.s.PGSQL.5432")),
        ("db.internal:5432", TcpAddress(host="db.internal", port=5432)),
        ("[fd00::1]:5432", TcpAddress(host="fd00::1", port=5432)),
    ],
)
def test_an_address_is_a_socket_or_a_host_and_port(
    text: str, address: TcpAddress | UnixAddress
) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "db", "db:", ":5432", "db:0", "db:65536", "fd00::1:5432", "[db]x:1", "db:5_4"]
)
def test_other_addresses_are_refused_in_words(text: str) -> None:
    with pytest.raises(Unexpected, match="host:port"):
        parse_address(text)


@pytest.mark.parametrize("wrong", [{"kind": "oracle"}, {"address": "db"}, {"password": "x"}])
def test_a_policy_with_another_kind_or_address_or_more_is_refused(wrong: dict[str, str]) -> None:
    right = {"kind": "postgresql", "address": "db:5432"}
    SecurityPolicy.model_validate({"databases": {"main": right}})

    with pytest.raises(ValueError, match=r"databases\.main"):
        SecurityPolicy.model_validate({"databases": {"main": right | wrong}})
