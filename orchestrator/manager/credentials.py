"""Credentials that the egress broker adds to requests, and that the plugin never sees.

They come from where secrets do, but go into no container: the daemon reads them when it opens
the plugin's broker, at each start.
"""

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.secret_use import credentials_of
from orchestrator.manager.secrets import SecretReader
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.secret_source import Reference
from orchestrator.sandbox.egress_policy import Injection


class CredentialUnusable(OrchestratorError):
    """A credential's file holds what no header can."""

    kind, code = Kind.INVALID, "credential_unusable"


def check_credentials(inputs: Inputs, reader: SecretReader) -> None:
    """Before anything starts. Raises what `injections` raises."""
    for host, reference in credentials_of(inputs).items():
        if reader.sees(reference):
            _injection(inputs.manifest, host, reference, reader)


def injections(inputs: Inputs, reader: SecretReader) -> dict[str, Injection]:
    """What the broker adds, by `host:port`, as the values are now.

    Raises SecretUnreadable, AgeKeyUnusable, CredentialUnusable; none tells the value.
    """
    return {
        host: _injection(inputs.manifest, host, reference, reader)
        for host, reference in credentials_of(inputs).items()
    }


def _injection(
    manifest: PluginManifest, host: str, reference: Reference, reader: SecretReader
) -> Injection:
    wanted = manifest.spec.inject[host]
    content = reader.value(reference)
    try:
        # Editors end a file with a new line, which is no part of a credential.
        value = wanted.prefix + content.decode("ascii").rstrip("\r\n")
        return Injection(header=wanted.header, value=value)
    except ValueError:
        # Without its cause: a traceback would show what could not be decoded.
        raise CredentialUnusable(
            f"{reference.where}: found something in {reference.source.place} that no header can"
            " hold, expected one line of printable ASCII"
        ) from None
