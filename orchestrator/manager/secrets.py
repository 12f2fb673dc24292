"""Secrets: from files that a manifest names to files that one plugin can read, and nowhere else.

They are copied to memory (a tmpfs of the host), into a folder of the sandbox's own that is mounted
read-only at /run/secrets. They are in no image, no environment, no label, no record and no log.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.container import PLUGIN_UID
from orchestrator.model.load import LoadedManifest

MAX_SECRET_BYTES: Final = 65_536


class SecretUnreadable(OrchestratorError):
    """A secret's file is missing, too large, or not ours to read."""

    kind, code = Kind.INVALID, "secret_unreadable"


def secret_files(loaded: LoadedManifest) -> dict[str, str]:
    """Each secret's file, absolute. Raises SecretUnreadable before any container is made."""
    files = {name: loaded.secret_file(name) for name in sorted(loaded.manifest.spec.secrets)}
    for name, path in files.items():
        read_secret(path, f"{loaded.path}: spec.secrets.{name}.file")
    return {name: str(path) for name, path in files.items()}


def deliver(folder: Path, files: Mapping[str, str], *, plugin_id: str) -> None:
    """Put the secrets as they are now where the sandbox will look. Raises SecretUnreadable.

    Run as root, each file belongs to the plugin's user alone; otherwise the folders above, 0700,
    keep everybody else on the host out.
    """
    if not files:
        return
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o711)
    for name, path in files.items():
        content = read_secret(Path(path), f"{plugin_id}: spec.secrets.{name}.file")
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


def withdraw(folder: Path) -> None:
    """Take a sandbox's secrets out of memory."""
    shutil.rmtree(folder, ignore_errors=True)


def read_secret(path: Path, field: str) -> bytes:
    """The content of a secret's file, for `field`. Raises SecretUnreadable."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretUnreadable(
            f"{field}: found {path} ({error.strerror}), expected a file that can be read"
        ) from error
    if len(content) > MAX_SECRET_BYTES:
        raise SecretUnreadable(f"{field}: found more than {MAX_SECRET_BYTES} bytes in {path}")
    return content
