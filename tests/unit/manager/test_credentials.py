"""Credentials for the egress broker: read when it opens, told to nobody, refused before that."""

from pathlib import Path

import pytest

from orchestrator.manager.credentials import CredentialUnusable, credential_files, injections
from orchestrator.manager.secrets import SecretUnreadable
from orchestrator.model.load import load_manifest

HOST = "api.example.com:443"
MANIFEST = f"""
apiVersion: orchestrator/v1
kind: Plugin
metadata: {{name: caller}}
spec:
  source: {{image: caller}}
  permissions: [{{external_api: {{hosts: ["{HOST}"]}}}}]
  inject: {{"{HOST}": {{header: X-Key, prefix: "Bearer ", file: token.txt}}}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "caller.yaml"
    path.write_text(MANIFEST)
    return path


def test_a_credential_is_prefix_and_content_without_the_end_of_its_line(manifest: Path) -> None:
    (manifest.parent / "token.txt").write_text("k3y\n")
    loaded = load_manifest(manifest)
    files = credential_files(loaded)
    made = injections(loaded.manifest, files, origin="caller.yaml")

    assert files == {HOST: str(manifest.parent / "token.txt")}
    assert (made[HOST].header, made[HOST].value) == ("X-Key", "Bearer k3y")


@pytest.mark.parametrize("content", [b"a\nX-Other: b", b"a\r\n\r\nGET /", b"\xff", b"a\x00b"])
def test_what_could_become_more_than_one_header_is_refused_untold(
    manifest: Path, content: bytes
) -> None:
    (manifest.parent / "token.txt").write_bytes(content)
    with pytest.raises(CredentialUnusable, match=r"spec\.inject\.api\.example\.com:443") as caught:
        credential_files(load_manifest(manifest))

    assert "X-Other" not in str(caught.value)
    assert "GET" not in str(caught.value)


def test_a_missing_file_is_refused_naming_the_manifests_field(manifest: Path) -> None:
    with pytest.raises(SecretUnreadable, match=r"caller\.yaml: spec\.inject\..*\.file"):
        credential_files(load_manifest(manifest))


def test_a_changed_file_counts_from_the_next_start(manifest: Path) -> None:
    token = manifest.parent / "token.txt"
    token.write_text("old")
    loaded = load_manifest(manifest)
    files = credential_files(loaded)
    token.write_text("new")

    assert injections(loaded.manifest, files, origin="")[HOST].value == "Bearer new"
