"""Values that age encrypted, and the key that opens them: the one home of pyrage.

Only native X25519 keys: plugins of age are programs, and a passphrase would have to lie beside it.
"""

import os
import re
import stat
from pathlib import Path
from typing import Final

import pyrage

from orchestrator.errors import Kind, OrchestratorError

MAX_KEY_BYTES: Final = 65_536
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
_IDENTITY: Final = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]{58}")


class AgeKeyUnusable(OrchestratorError):
    """No key to open encrypted secrets with, or one that others can read."""

    kind, code = Kind.INVALID, "age_key_unusable"


class Undecipherable(Exception):
    """What cannot be opened, in words that tell nothing of the content."""


class AgeKey:
    """The identities in a key file, as it was when they were read."""

    def __init__(self, identities: list[pyrage.x25519.Identity]) -> None:
        self._identities = identities

    @classmethod
    def read(cls, path: Path | None, variable: str) -> "AgeKey":
        """Raises AgeKeyUnusable, which never shows a line of the file."""
        if path is None:
            raise AgeKeyUnusable(f"{variable}: found no key, expected a file made by age-keygen")
        text = _text(path, variable)
        lines = [line.strip() for line in text.splitlines()]
        found = [line for line in lines if line and not line.startswith("#")]
        useless = AgeKeyUnusable(
            f"{variable}: found {path} with lines that are no key, "
            "expected lines AGE-SECRET-KEY-1…, as age-keygen writes them"
        )
        if not found or not all(_IDENTITY.fullmatch(line) for line in found):
            raise useless
        try:
            return cls([pyrage.x25519.Identity.from_str(line) for line in found])
        except pyrage.IdentityError:
            raise useless from None

    def decrypt(self, data: bytes) -> bytes:
        """Binary or armoured. Raises Undecipherable."""
        try:
            return bytes(pyrage.decrypt(data, self._identities))
        except pyrage.DecryptError as error:
            raise Undecipherable(f"cannot be opened: {error}") from None


def _text(path: Path, variable: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise AgeKeyUnusable(f"{variable}: found {path}, which is no plain file")
            if status.st_mode & _OTHERS:
                raise AgeKeyUnusable(
                    f"{variable}: found {path} with mode {stat.S_IMODE(status.st_mode):04o}, "
                    "expected a key that none but its owner and its group can read: chmod 600"
                )
            return file.read(MAX_KEY_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise AgeKeyUnusable(
            f"{variable}: found {path} ({error.strerror}), expected a key file that can be read"
        ) from error
