"""Credentials for the egress broker: read when it opens, told to nobody, refused before that."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.manager.credentials import CredentialUnusable, check_credentials, injections
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.secrets import SecretReader, SecretUnreadable
from orchestrator.model.permissions import ExternalApi

HOST = "api.example.com:443"


class Caller:
    """A plugin whose credential lies in `token.txt` beside its manifest."""

    def __init__(self, make: Any, folder: Path) -> None:
        self.token = folder / "token.txt"
        self._origin = folder / "caller.yaml"
        self._make = make

    def inputs(self, **source: str) -> Inputs:
        where = source or {"file": "token.txt"}
        inputs: Inputs = self._make.inputs(
            ExternalApi(hosts=(HOST,)),
            spec={"inject": {HOST: {"header": "X-Key", "prefix": "Bearer ", **where}}},
            origin=str(self._origin),
            credential_files={} if source else {HOST: str(self.token)},
        )
        return inputs


@pytest.fixture
def caller(make: Any, tmp_path: Path) -> Caller:
    return Caller(make, tmp_path)


def test_a_credential_is_prefix_and_content_without_the_end_of_its_line(caller: Caller) -> None:
    caller.token.write_text("k3y\n")
    made = injections(caller.inputs(), SecretReader())

    assert (made[HOST].header, made[HOST].value) == ("X-Key", "Bearer k3y")


@pytest.mark.parametrize("content", [b"a\nX-Other: b", b"a\r\n\r\nGET /", b"\xff", b"a\x00b"])
def test_what_could_become_more_than_one_header_is_refused_untold(
    caller: Caller, content: bytes
) -> None:
    caller.token.write_bytes(content)
    with pytest.raises(CredentialUnusable, match=r"spec\.inject\.api\.example\.com:443") as caught:
        check_credentials(caller.inputs(), SecretReader())

    assert "X-Other" not in str(caught.value)
    assert "GET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_refused_naming_the_manifests_field(caller: Caller) -> None:
    with pytest.raises(SecretUnreadable, match=r"caller\.yaml: spec\.inject\..*\.file"):
        check_credentials(caller.inputs(), SecretReader())


def test_a_changed_file_counts_from_the_next_start(caller: Caller) -> None:
    caller.token.write_text("old")
    inputs = caller.inputs()
    caller.token.write_text("new")

    assert injections(inputs, SecretReader())[HOST].value == "Bearer new"


def test_a_credential_may_lie_in_the_daemons_environment(caller: Caller) -> None:
    inputs = caller.inputs(environment="API_KEY")
    reader = SecretReader(environment={"ORCHESTRATOR_SECRET_API_KEY": "k3y"})
    check_credentials(inputs, SecretReader())  # a command does not look at its own environment

    assert injections(inputs, reader)[HOST].value == "Bearer k3y"
