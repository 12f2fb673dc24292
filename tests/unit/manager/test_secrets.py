"""Secrets: from four kinds of places, copied to memory at each start, refused before that."""

import os
import stat
from pathlib import Path

import pyrage
import pytest

from orchestrator.manager.age_values import AgeKeyUnusable
from orchestrator.manager.secrets import (
    MAX_SECRET_BYTES,
    SecretReader,
    SecretUnreadable,
    deliver,
    withdraw,
)
from orchestrator.model.container import PLUGIN_UID
from orchestrator.model.secret_source import Reference, SecretSource, files_of, references
from orchestrator.model.yaml_text import dump_yaml
from tests.unit.manager.sops_house import encrypted

VALUE = b"correct horse battery staple"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    return folder


@pytest.fixture
def identity(tmp_path: Path) -> pyrage.x25519.Identity:
    """Written to `age.key`, as age-keygen does it."""
    identity = pyrage.x25519.Identity.generate()
    text = f"# created: today\n# public key: {identity.to_public()}\n{identity}\n"
    (tmp_path / "age.key").write_text(text)
    (tmp_path / "age.key").chmod(0o600)
    return identity


def reference(folder: Path, **source: str) -> Reference:
    sources = {"token": SecretSource(**source)}
    origin = folder / "reader.yaml"
    files = files_of(sources, origin)
    return references(sources, files, origin=origin, field="spec.secrets")["token"]


def read(folder: Path, **source: str) -> bytes:
    key = folder.parent / "age.key"
    reader = SecretReader(environment=os.environ, age_key_file=key if key.exists() else None)
    return reader.value(reference(folder, **source))


def refusal(folder: Path, **source: str) -> str:
    with pytest.raises((SecretUnreadable, AgeKeyUnusable)) as caught:
        read(folder, **source)
    return str(caught.value)


# -- files ------------------------------------------------------------------------------------


def test_a_file_lies_beside_its_manifest(folder: Path) -> None:
    (folder / "token.txt").write_bytes(VALUE)

    assert read(folder, file="token.txt") == VALUE


def test_a_missing_file_is_refused_naming_the_manifests_field(folder: Path) -> None:
    text = refusal(folder, file="token.txt")

    assert "reader.yaml: spec.secrets.token.file: found" in text
    assert "No such file" in text


def test_more_than_64_kib_is_refused_and_not_read_to_its_end(folder: Path) -> None:
    with (folder / "token.txt").open("wb") as file:
        file.truncate(1 << 40)

    assert f"more than {MAX_SECRET_BYTES} bytes" in refusal(folder, file="token.txt")


def test_a_pipe_a_folder_and_a_device_are_refused_and_hold_nobody_up(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()

    assert "no plain file" in refusal(folder, file="pipe")
    assert "spec.secrets.token.file: found" in refusal(folder, file="sub")
    assert "no plain file" in refusal(folder, file="/dev/zero")


def test_a_link_that_leads_out_of_the_manifests_folder_is_refused(folder: Path) -> None:
    outside = folder.parent / "outside.txt"
    outside.write_bytes(VALUE)
    (folder / "token.txt").symlink_to(outside)
    (folder / "sub").symlink_to(folder.parent, target_is_directory=True)

    assert "a link that leads out" in refusal(folder, file="token.txt")
    assert "a link that leads out" in refusal(folder, file="sub/outside.txt")


def test_a_link_to_itself_and_a_name_that_no_file_has_are_refused(folder: Path) -> None:
    (folder / "token.txt").symlink_to("token.txt")
    (folder.parent / "loop").symlink_to("loop")

    assert "a link that leads out" in refusal(folder, file="token.txt")
    assert "spec.secrets.token.file: found" in refusal(folder, file="../loop")
    for name in ("a\0b", "/a\0b", "x" * 5_000, "/" + "x" * 5_000):
        assert "spec.secrets.token.file: found" in refusal(folder, file=name)


def test_a_link_within_and_a_path_that_says_where_it_leads_are_read(folder: Path) -> None:
    outside = folder.parent / "outside.txt"
    outside.write_bytes(VALUE)
    (folder.parent / "link.txt").symlink_to(outside)
    (folder / "real.txt").write_bytes(VALUE)
    (folder / "token.txt").symlink_to("real.txt")

    for file in ("token.txt", "../outside.txt", str(folder.parent / "link.txt")):
        assert read(folder, file=file) == VALUE


# -- the environment --------------------------------------------------------------------------


def test_a_variable_is_read_below_its_prefix_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", VALUE.decode())
    monkeypatch.setenv("TOKEN", "the host's own")
    monkeypatch.setenv("ORCHESTRATOR_STORE", "the daemon's own")

    assert read(folder, environment="TOKEN") == VALUE
    assert "found no ORCHESTRATOR_SECRET_STORE" in refusal(folder, environment="STORE")


def test_an_empty_variable_counts_as_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", "")

    assert "found no ORCHESTRATOR_SECRET_TOKEN" in refusal(folder, environment="TOKEN")


# -- age and SOPS -----------------------------------------------------------------------------


@pytest.mark.parametrize("armored", [False, True])
def test_a_file_of_age_is_opened_with_the_key(
    folder: Path, identity: pyrage.x25519.Identity, *, armored: bool
) -> None:
    sealed = pyrage.encrypt(VALUE, [identity.to_public()], armored=armored)
    (folder / "token.age").write_bytes(sealed)

    assert read(folder, age="token.age") == VALUE


def test_the_longest_value_passes_through_age_and_one_byte_more_does_not(
    folder: Path, identity: pyrage.x25519.Identity
) -> None:
    for extra in (0, 1):
        plain = os.urandom(MAX_SECRET_BYTES + extra)
        sealed = pyrage.encrypt(plain, [identity.to_public()], armored=True)
        (folder / f"{extra}.age").write_bytes(sealed)

    assert len(read(folder, age="0.age")) == MAX_SECRET_BYTES
    assert f"more than {MAX_SECRET_BYTES} bytes" in refusal(folder, age="1.age")


def test_a_value_of_sops_is_opened_with_the_key(
    folder: Path, identity: pyrage.x25519.Identity
) -> None:
    document = encrypted({"db": {"password": VALUE.decode()}}, identity.to_public())
    (folder / "prod.yaml").write_text(dump_yaml(document))

    assert read(folder, sops="prod.yaml", key="db.password") == VALUE
    assert "no value at that key" in refusal(folder, sops="prod.yaml", key="db.user")


def test_what_is_for_another_key_or_was_changed_is_refused_untold(
    folder: Path, identity: pyrage.x25519.Identity
) -> None:
    other = pyrage.x25519.Identity.generate()
    (folder / "other.age").write_bytes(pyrage.encrypt(VALUE, [other.to_public()]))
    sealed = bytearray(pyrage.encrypt(VALUE, [identity.to_public()]))
    sealed[-1] ^= 1
    (folder / "changed.age").write_bytes(sealed)
    (folder / "junk.age").write_bytes(b"junk")
    (folder / "pass.age").write_bytes(pyrage.passphrase.encrypt(VALUE, "password"))

    for name in ("other", "changed", "junk", "pass"):
        text = refusal(folder, age=f"{name}.age")
        assert f"reader.yaml: spec.secrets.token.age: found {folder}/{name}.age, which" in text
        assert VALUE.decode() not in text


def test_without_a_key_the_message_names_the_variable(folder: Path) -> None:
    (folder / "token.age").write_bytes(b"x")

    assert refusal(folder, age="token.age").startswith("ORCHESTRATOR_AGE_KEY_FILE: found no key")


@pytest.mark.parametrize("mode", [0o604, 0o606, 0o660, 0o644, 0o777])
def test_a_key_that_others_can_read_or_the_group_can_write_is_refused(
    folder: Path, identity: pyrage.x25519.Identity, mode: int
) -> None:
    (folder / "token.age").write_bytes(pyrage.encrypt(VALUE, [identity.to_public()]))
    (folder.parent / "age.key").chmod(mode)

    assert f"with mode {mode:04o}" in refusal(folder, age="token.age")


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "AGE-SECRET-KEY-1" + "Q" * 58, "AGE-PLUGIN-EVIL-1QQQQ", "s3cret", "\0\xff"],
)
def test_a_key_file_without_a_key_is_refused_and_not_shown(
    folder: Path, identity: pyrage.x25519.Identity, text: str
) -> None:
    (folder / "token.age").write_bytes(b"x")
    (folder.parent / "age.key").write_text(text)
    message = refusal(folder, age="token.age")

    assert "with lines that are no key" in message
    assert "s3cret" not in message
    assert "QQQQ" not in message


def test_a_key_that_is_a_pipe_holds_nobody_up(folder: Path) -> None:
    (folder / "token.age").write_bytes(b"x")
    os.mkfifo(folder.parent / "age.key", 0o600)

    assert "no plain file" in refusal(folder, age="token.age")


# -- digests ----------------------------------------------------------------------------------


def test_a_digest_tells_values_apart_and_nothing_without_the_key() -> None:
    one, other = SecretReader(digest_key=b"1" * 32), SecretReader(digest_key=b"2" * 32)
    digest = one.digest("reader", "secrets.token", b"1234")

    assert digest == one.digest("reader", "secrets.token", b"1234")
    assert len(digest) == 32
    assert digest not in {
        one.digest("reader", "secrets.token", b"1235"),
        one.digest("reader", "secrets.other", b"1234"),
        one.digest("writer", "secrets.token", b"1234"),
        other.digest("reader", "secrets.token", b"1234"),
    }


# -- delivery ---------------------------------------------------------------------------------


def test_a_delivered_secret_is_the_plugins_and_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "memory" / "reader-1"
    deliver(folder, {"token": VALUE})
    delivered = folder / "token"
    status = delivered.stat()

    assert delivered.read_bytes() == VALUE
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (PLUGIN_UID, 0o400)


def test_each_start_delivers_the_secret_as_it_is_then(tmp_path: Path) -> None:
    folder = tmp_path / "memory" / "reader-1"
    for content in (b"old", b"new"):
        deliver(folder, {"token": content})

    assert (folder / "token").read_bytes() == b"new"


def test_a_withdrawn_secret_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "memory" / "reader-1"
    deliver(folder, {"token": VALUE})
    withdraw(folder)

    assert not folder.exists()


def test_without_secrets_no_folder_is_made(tmp_path: Path) -> None:
    deliver(tmp_path / "memory" / "reader-1", {})

    assert not (tmp_path / "memory").exists()


# -- what others wrote ------------------------------------------------------------------------

AGE_1_1_1_KEY = "AGE-SECRET-KEY-1T0A35D30T90TCGTXT4SD5XDPNWFYMPAWERVS85SX3VPRKG6MAARSED28V0"
"""Made for this test, and of use to nobody."""
AGE_1_1_1_FILE = """\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBPTjVaRDJ3ajh3S2xna05R
QnBQSzM2UVZpYWFSREttU1llUnBTTXAwaUJnCkFNVEJyUUVabDVhcHpVOUJZdjFS
bGVOenQ2RnpTVXhpQ3dFQ204U1g3emMKLS0tIFkrWk1xaFZoaUV4Z3A5OFZrKytW
VFU1a005ajN5VFYyNms0VFRuYXBSbGsKpVukPVpZ6okA7Hr3O2bL91w6m2YTDtBs
NLXwl5YBBZNnSHwSVsfcbkUQ7tGckWkkAwCt841iLQHKtTic
-----END AGE ENCRYPTED FILE-----
"""


def test_what_the_age_tool_wrote_is_read(folder: Path) -> None:
    (folder.parent / "age.key").write_text(AGE_1_1_1_KEY)
    (folder.parent / "age.key").chmod(0o600)
    (folder / "token.age").write_text(AGE_1_1_1_FILE)

    assert read(folder, age="token.age") == VALUE
