"""GitOpsStatus: how what is wanted stands to what git says, for people, commands and metrics."""

from dataclasses import dataclass
from enum import StrEnum


class SyncState(StrEnum):
    """Of one plugin and of the whole; the whole is the worst of its parts."""

    SYNCED = "synced"
    OUT_OF_SYNC = "out_of_sync"
    """Something else is wanted, or it waits for somebody's word."""
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    """What git says cannot be made so, or does not work."""
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSync:
    """One plugin of the repository."""

    plugin_id: str
    state: SyncState
    reason: str
    """Empty while it is synced."""
    file: str
    """In the repository."""
    revision: str
    """The commit that it is wanted as."""
    wave: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GitOpsStatus:
    """The whole of it at one moment."""

    state: SyncState
    reasons: tuple[str, ...]
    """Empty while all is synced."""
    url: str
    ref: str
    path: str
    environment: str
    """Whose patches lie over the manifests; empty for none."""
    head: str
    """The newest commit that was seen; empty before the first."""
    wanted: str
    """The commit that is to be: head, unless it was rolled back from."""
    synced: str
    """The commit that was made so last."""
    synced_at: float
    """When, in seconds since the epoch; 0 for never."""
    looked_at: float
    """When the remote last answered."""
    syncs_total: int
    failures_total: int
    heals_total: int
    plugins: tuple[PluginSync, ...]
    prune_waiting: tuple[str, ...]
    """Plugins that git no longer has and that wait for `gitops sync --prune`."""
    moving: bool = False
    """Whether something is under way, or about to be, that ends by itself."""
    webhook_port: int = 0
    """Where pushes may be told; 0 if nowhere."""
