"""Secrets: copied to memory at each start, readable by the plugin alone, refused before that."""

import os
import stat
from pathlib import Path

import pytest

from orchestrator.manager.secrets import (
    MAX_SECRET_BYTES,
    SecretUnreadable,
    deliver,
    secret_files,
    withdraw,
)
from orchestrator.model.container import PLUGIN_UID
from orchestrator.model.load import load_manifest

MANIFEST = """
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: reader}
spec:
  source: {image: reader}
  secrets: {token: {file: token.txt}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "reader.yaml"
    path.write_text(MANIFEST)
    return path


def test_a_secret_lies_beside_its_manifest(manifest: Path) -> None:
    (manifest.parent / "token.txt").write_text("s3cret")

    assert secret_files(load_manifest(manifest)) == {"token": str(manifest.parent / "token.txt")}


def test_a_missing_secret_is_refused_naming_the_manifests_field(manifest: Path) -> None:
    with pytest.raises(SecretUnreadable, match=r"reader\.yaml: spec\.secrets\.token\.file"):
        secret_files(load_manifest(manifest))


def test_a_secret_of_more_than_64_kib_is_refused(manifest: Path) -> None:
    (manifest.parent / "token.txt").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))

    with pytest.raises(SecretUnreadable, match="more than 65536 bytes"):
        secret_files(load_manifest(manifest))


def test_a_delivered_secret_is_the_plugins_and_nobody_elses(tmp_path: Path) -> None:
    source = tmp_path / "token.txt"
    source.write_text("s3cret")
    folder = tmp_path / "memory" / "reader-1"
    deliver(folder, {"token": str(source)}, plugin_id="reader")
    delivered = folder / "token"
    status = delivered.stat()

    assert delivered.read_text() == "s3cret"
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (PLUGIN_UID, 0o400)


def test_each_start_delivers_the_secret_as_it_is_then(tmp_path: Path) -> None:
    source = tmp_path / "token.txt"
    folder = tmp_path / "memory" / "reader-1"
    for content in ("old", "new"):
        source.write_text(content)
        deliver(folder, {"token": str(source)}, plugin_id="reader")

    assert (folder / "token").read_text() == "new"


def test_a_withdrawn_secret_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "token.txt"
    source.write_text("s3cret")
    folder = tmp_path / "memory" / "reader-1"
    deliver(folder, {"token": str(source)}, plugin_id="reader")
    withdraw(folder)

    assert not folder.exists()


def test_without_secrets_no_folder_is_made(tmp_path: Path) -> None:
    deliver(tmp_path / "memory" / "reader-1", {}, plugin_id="reader")

    assert not (tmp_path / "memory").exists()
