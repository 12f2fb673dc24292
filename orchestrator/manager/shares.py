"""Shares: from a name in the policy to the real folder on the host, checked before any mount."""

import os
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import Kind, OrchestratorError
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
    return str(real)
