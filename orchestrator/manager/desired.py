"""Which plugins an `up` leaves wanted. Pure.

`up PATHS` speaks for what lies under those paths: what they hold is wanted, what came from them
before and is no longer there is not. Plugins from other paths are left as they are.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from orchestrator.manager.deployment import Deployment


def merge(
    current: Mapping[str, Deployment], new: Sequence[Deployment], paths: Sequence[PurePath]
) -> dict[str, Deployment]:
    """The wanted plugins after `up paths`, by name; `paths` are absolute."""
    named = {deployment.plugin_id: deployment for deployment in new}
    kept = {
        name: deployment
        for name, deployment in current.items()
        if not is_under(PurePath(deployment.inputs.origin), paths)
    }
    return dict(sorted({**kept, **named}.items()))


def is_under(origin: PurePath, paths: Sequence[PurePath]) -> bool:
    """Whether a manifest's file is one of the paths, or directly in one of them."""
    return origin in paths or origin.parent in paths


def promised(wanted: Mapping[str, Deployment], *, first: Collection[str]) -> list[tuple[str, int]]:
    """(plugin, memory limits of its replicas in bytes) of what is to run; `first` comes first."""
    names = sorted(wanted, key=lambda name: (name not in first, name))
    return [
        (n, wanted[n].compiled.spec.memory_bytes * wanted[n].replicas)
        for n in names
        if wanted[n].running
    ]
