"""Shares: from a name in the policy to the real folder on the host, checked before any mount."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.container import PLUGIN_UID
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.baseline import FORBIDDEN_NAMES, FORBIDDEN_SHARES, FORBIDDEN_TREES


class ShareUnusable(OrchestratorError):
    """A share's folder is missing, no folder, or one that no plugin may ever see."""

    kind, code = Kind.INVALID, "share_unusable"


def real_shares(policy: SecurityPolicy, names: Iterable[str], *, home: Path) -> dict[str, str]:
    """Each named share's real path: links are followed here, and never by the engine.

    Raises ShareUnusable.
    """
    return {name: _real(name, policy.shares[name].path, home) for name in sorted(set(names))}


def _real(name: str, path: str, home: Path) -> str:
    field = f"policy.shares.{name}.path"
    try:
        real = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        raise ShareUnusable(
            f"{field}: found {path!r} ({error.strerror}), expected an existing folder"
        ) from error
    if not real.is_dir():
        raise ShareUnusable(f"{field}: found {path!r}, which is no folder, expected a folder")
    trees = [Path(tree) for tree in FORBIDDEN_TREES]
    shut = [*trees, *map(Path, FORBIDDEN_SHARES), home.resolve()]
    for other in shut:
        if real == other or real in other.parents:
            raise ShareUnusable(f"{field}: found {real}, expected a folder that holds no {other}")
    if keys := set(real.parts) & set(FORBIDDEN_NAMES):
        raise ShareUnusable(f"{field}: found {real}, expected a folder outside {min(keys)}")
    for tree in [*trees, home.resolve()]:
        if tree in real.parents:
            raise ShareUnusable(f"{field}: found {real}, expected a folder outside {tree}")
    _assert_firm(field, real)
    return str(real)


def _assert_firm(field: str, real: Path) -> None:
    """No plugin may be able to swap the folder, or one above it, for a link while we start."""
    for below, above in zip([real, *real.parents], real.parents, strict=False):
        if _plugins_may_rename(below.lstat(), above.stat()):
            raise ShareUnusable(
                f"{field}: found {real}, where plugins may rename {below}, "
                f"expected {above} to be writable by neither everybody nor user {PLUGIN_UID}"
            )


def _plugins_may_rename(below: os.stat_result, above: os.stat_result) -> bool:
    if above.st_uid == PLUGIN_UID:
        return True
    writable = above.st_mode & stat.S_IWOTH or (
        above.st_gid == PLUGIN_UID and above.st_mode & stat.S_IWGRP
    )
    return bool(writable) and (not above.st_mode & stat.S_ISVTX or below.st_uid == PLUGIN_UID)
