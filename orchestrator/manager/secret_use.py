"""What secrets and credentials a deployment uses, and how their values stand.

A digest of every value is part of what a deployment is made from: so a value that changed makes
another revision of those plugins that use it, and of no other.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.secrets import SecretReader
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.secret_source import Reference, references

SECRETS = "spec.secrets"
INJECT = "spec.inject"


def secrets_of(inputs: Inputs) -> dict[str, Reference]:
    """By the secret's name."""
    spec = inputs.manifest.spec
    return references(spec.secrets, inputs.secret_files, origin=Path(inputs.origin), field=SECRETS)


def credentials_of(inputs: Inputs) -> dict[str, Reference]:
    """By `host:port`."""
    spec = inputs.manifest.spec
    return references(
        spec.inject, inputs.credential_files, origin=Path(inputs.origin), field=INJECT
    )


def used(inputs: Inputs) -> dict[str, Reference]:
    """All of them, by what their digests are called."""
    return {
        **{f"secrets.{name}": one for name, one in secrets_of(inputs).items()},
        **{f"inject.{host}": one for host, one in credentials_of(inputs).items()},
    }


def digests(inputs: Inputs, reader: SecretReader) -> dict[str, str]:
    """Of every value as it is now. Raises SecretUnreadable, AgeKeyUnusable.

    A variable that this process is not to look at keeps the digest that it has.
    """
    found = dict(_kept(inputs.manifest, inputs.secret_digests))
    for name, reference in used(inputs).items():
        if reader.sees(reference):
            value = reader.value(reference)
            found[name] = reader.digest(inputs.info.plugin_id, name, value)
    return found


def digests_now(inputs: Inputs, reader: SecretReader) -> dict[str, str]:
    """The same of what can be read now; what cannot keeps the digest that it has."""
    found = dict(inputs.secret_digests)
    for name, reference in used(inputs).items():
        if reader.sees(reference):
            with contextlib.suppress(OrchestratorError):
                value = reader.value(reference)
                found[name] = reader.digest(inputs.info.plugin_id, name, value)
    return found


def with_known(inputs: Inputs, old: Inputs | None) -> Inputs:
    """For a command, which does not see the daemon's variables: they are taken for unchanged."""
    if old is None:
        return inputs
    known = {**_kept(inputs.manifest, old.secret_digests), **inputs.secret_digests}
    return replace(inputs, secret_digests=known)


def _kept(manifest: PluginManifest, known: Mapping[str, str]) -> Mapping[str, str]:
    """Digests of what the manifest still refers to."""
    names = {f"secrets.{name}" for name in manifest.spec.secrets}
    names |= {f"inject.{host}" for host in manifest.spec.inject}
    return {name: digest for name, digest in known.items() if name in names}
