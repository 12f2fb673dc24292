"""What manifests give and change, in words: for `render`, `plan` and pull requests."""

from collections.abc import Sequence

from orchestrator.model.load import LoadedManifest
from orchestrator.policy.widening import manifest_widening


def widened_by_patch(manifests: Sequence[LoadedManifest]) -> dict[str, tuple[str, ...]]:
    """Plugin → what its patch gives beyond the base; only of those that have a patch."""
    return {
        one.manifest.metadata.name: tuple(
            str(difference) for difference in manifest_widening(one.base, one.manifest)
        )
        for one in manifests
        if one.patch is not None
    }
