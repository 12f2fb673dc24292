"""Secrets for the composition root: who reads their values, and the instance's key for digests."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.daemon.settings import DaemonSettings
from orchestrator.manager.secrets import SecretReader

_KEY_BYTES: Final = 32


def reader_of_daemon(settings: DaemonSettings, environment: Mapping[str, str]) -> SecretReader:
    """Its own environment holds what variables refer to."""
    return SecretReader(
        environment=environment,
        age_key_file=settings.age_key_file,
        digest_key=_read_key(settings.secrets_key) or _new_key(settings.secrets_key),
    )


def reader_of_command(settings: DaemonSettings) -> SecretReader:
    """Changes nothing; without the instance's key there is nothing to compare with."""
    return SecretReader(
        age_key_file=settings.age_key_file,
        digest_key=_read_key(settings.secrets_key) or secrets.token_bytes(_KEY_BYTES),
    )


def _read_key(path: Path) -> bytes:
    """Empty if there is none, or half of one."""
    try:
        key = path.read_bytes()
    except OSError:
        return b""
    return key if len(key) == _KEY_BYTES else b""


def _new_key(path: Path) -> bytes:
    """Raises OSError, as every write to the state folder does."""
    key = secrets.token_bytes(_KEY_BYTES)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(descriptor)
    part.replace(path)
    return key
