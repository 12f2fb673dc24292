"""Secrets: from the places that a manifest names to files that one plugin can read.

They are copied to memory (a tmpfs of the host), into a folder of the sandbox's own that is mounted
read-only at /run/secrets. They are in no image, no label, no record and no log; what is recorded of
a value is a keyed digest, by which a new one is told from the old.
"""

import hashlib
import hmac
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.age_values import AgeKey, Undecipherable
from orchestrator.manager.sops_values import sops_value
from orchestrator.model.container import PLUGIN_UID
from orchestrator.model.files import leads_outside
from orchestrator.model.parse import MAX_BYTES
from orchestrator.model.secret_source import VARIABLE_PREFIX, Reference

MAX_SECRET_BYTES: Final = 65_536
AGE_KEY_VARIABLE: Final = "ORCHESTRATOR_AGE_KEY_FILE"
_ARMOUR: Final = 2
"""Encrypted and armoured, a value is less than so many times as long."""
_DIGEST_CHARACTERS: Final = 32


class SecretUnreadable(OrchestratorError):
    """A secret's place is empty, holds too much, or is not ours to read."""

    kind, code = Kind.INVALID, "secret_unreadable"


class SecretReader:
    """Reads values; keeps none."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        age_key_file: Path | None = None,
        digest_key: bytes = b"",
    ) -> None:
        """Without an environment (a command's is not the daemon's) variables are not looked at.

        `digest_key` is the instance's own, random: digests of short values tell nothing without it.
        """
        self._environment = environment
        self._age_key_file = age_key_file
        self._digest_key = digest_key

    def value(self, reference: Reference) -> bytes:
        """Raises SecretUnreadable, AgeKeyUnusable; neither tells anything of the content."""
        source = reference.source
        if source.environment is not None:
            value = self._variable(reference, source.environment)
        elif source.file is not None:
            value = _read(reference, MAX_SECRET_BYTES)
        else:
            value = self._decrypted(reference)
        if len(value) > MAX_SECRET_BYTES:
            raise SecretUnreadable(
                f"{reference.where}: found more than {MAX_SECRET_BYTES} bytes in it"
            )
        return value

    def values(self, wanted: Mapping[str, Reference]) -> dict[str, bytes]:
        """All of them. Raises as `value` does."""
        return {name: self.value(reference) for name, reference in wanted.items()}

    def sees(self, reference: Reference) -> bool:
        """Whether it is for this process to look at; of the others nothing is known."""
        return reference.source.environment is None or self._environment is not None

    def digest(self, plugin_id: str, name: str, value: bytes) -> str:
        """Tells one value from another to whoever has the instance's key; to others nothing."""
        text = b"\0".join((plugin_id.encode(), name.encode(), value))
        found = hmac.new(self._digest_key, text, hashlib.sha256).hexdigest()
        return found[:_DIGEST_CHARACTERS]

    # -------------------------------------------------------------------------------------------

    def _variable(self, reference: Reference, name: str) -> bytes:
        value = (self._environment or {}).get(f"{VARIABLE_PREFIX}{name}", "")
        if not value:
            raise SecretUnreadable(
                f"{reference.where}: found no {VARIABLE_PREFIX}{name} in the daemon's environment, "
                "expected it set when the daemon is started"
            )
        return value.encode("utf-8", "surrogateescape")

    def _decrypted(self, reference: Reference) -> bytes:
        source = reference.source
        most = MAX_BYTES if source.sops is not None else _ARMOUR * MAX_SECRET_BYTES
        data = _read(reference, most)
        key = AgeKey.read(self._age_key_file, AGE_KEY_VARIABLE)
        try:
            if source.key is None:
                return key.decrypt(data)
            return sops_value(data, str(reference.path), source.key, key)
        except Undecipherable as error:
            raise SecretUnreadable(
                f"{reference.where}: found {reference.path}, which {error}"
            ) from None


def deliver(folder: Path, values: Mapping[str, bytes]) -> None:
    """Put the secrets where the sandbox will look.

    Run as root, each file belongs to the plugin's user alone; otherwise the folders above, 0700,
    keep everybody else on the host out.
    """
    if not values:
        return
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o711)
    for name, content in values.items():
        target = folder / name
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
        try:
            os.write(file, content)
            if os.geteuid() == 0:
                os.fchown(file, PLUGIN_UID, PLUGIN_UID)
            else:
                os.fchmod(file, 0o444)
        finally:
            os.close(file)


def read_secret(path: Path, field: str) -> bytes:
    """A secret of the orchestrator's own, from the file that `field` names, by an operator's hand.

    Raises SecretUnreadable.
    """
    return _content(path, field, MAX_SECRET_BYTES)


def withdraw(folder: Path) -> None:
    """Take a sandbox's secrets out of memory."""
    shutil.rmtree(folder, ignore_errors=True)


def _read(reference: Reference, most: int) -> bytes:
    """The file's content. Raises SecretUnreadable."""
    path, where = reference.path, reference.where
    if path is None:
        raise SecretUnreadable(f"{where}: found no file, expected one")
    if reference.confined and leads_outside(path, reference.folder):
        # What lies in the manifest's folder may be a stranger's; what is named by its absolute
        # path, or above the folder, can be seen in the manifest.
        raise SecretUnreadable(
            f"{where}: found {path}, a link that leads out of the manifest's folder, "
            "expected a file in there, or the absolute path of what is meant"
        )
    return _content(path, where, most)


def _content(path: Path, where: str, most: int) -> bytes:
    try:
        # Non-blocking, so that a named pipe cannot hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SecretUnreadable(f"{where}: found {path}, which is no plain file")
            content = file.read(most + 1)
    except OSError as error:
        raise SecretUnreadable(
            f"{where}: found {path} ({error.strerror}), expected a file that can be read"
        ) from error
    except ValueError:  # a NUL in it
        raise SecretUnreadable(
            f"{where}: found a name that no file can have, expected one"
        ) from None
    if len(content) > most:
        raise SecretUnreadable(f"{where}: found more than {most} bytes in {path}")
    return content
