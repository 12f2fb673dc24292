"""Credentials that the egress broker adds to requests, and that the plugin never sees.

They come from files as secrets do, but go into no container: the daemon reads them when it opens
the plugin's broker, at each start.
"""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.secrets import read_secret
from orchestrator.model.load import LoadedManifest
from orchestrator.model.manifest import PluginManifest
from orchestrator.sandbox.egress_policy import Injection


class CredentialUnusable(OrchestratorError):
    """A credential's file holds what no header can."""

    kind, code = Kind.INVALID, "credential_unusable"


def credential_files(loaded: LoadedManifest) -> dict[str, str]:
    """`host:port` → file, absolute. Raises SecretUnreadable, CredentialUnusable."""
    files = {
        host: str(loaded.credential_file(host)) for host in sorted(loaded.manifest.spec.inject)
    }
    injections(loaded.manifest, files, origin=str(loaded.path))
    return files


def injections(
    manifest: PluginManifest, files: Mapping[str, str], *, origin: str
) -> dict[str, Injection]:
    """What the broker adds, by `host:port`, as the files are now.

    Raises SecretUnreadable, CredentialUnusable; neither tells the value.
    """
    return {
        host: _injection(manifest, host, path, f"{origin}: spec.inject.{host}")
        for host, path in files.items()
    }


def _injection(manifest: PluginManifest, host: str, path: str, field: str) -> Injection:
    wanted = manifest.spec.inject[host]
    content = read_secret(Path(path), f"{field}.file")
    try:
        # Editors end a file with a new line, which is no part of a credential.
        value = wanted.prefix + content.decode("ascii").rstrip("\r\n")
        return Injection(header=wanted.header, value=value)
    except ValueError as error:
        raise CredentialUnusable(
            f"{field}.file: found something in {path} that no header can hold,"
            " expected one line of printable ASCII"
        ) from error
