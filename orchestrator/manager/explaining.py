"""Explainer: what a plugin may do, as its files would have it or as it is deployed."""

from collections.abc import Mapping

from orchestrator.engine.base import DiskProbe, DiskWay, EngineFailure, Probe
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.overridden import drift
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.explanation import Explanation, explain_full
from orchestrator.policy.rating import ImageOrigin, Surroundings, rate


class Explainer:
    """Looks at the engine that the plugin runs on, or would run on."""

    def __init__(self, *, probe: Probe, disks: DiskProbe, labels: Mapping[str, str]) -> None:
        self._probe = probe
        self._disks = disks
        self._labels = labels

    async def explain(
        self, deployment: Deployment, policy: SecurityPolicy, *, disk: str = ""
    ) -> Explanation:
        """`disk` is what holds the size of its /data, where that is known already.

        Raises EngineUnavailable.
        """
        grant = deployment.grant
        engine = await self._probe.info()
        surroundings = Surroundings(
            image=_origin(deployment.inputs.manifest.spec.source.image or ""),
            runtime=grant.runtime,
            disk_enforced_by=disk or await self._disk(deployment),
            limits_enforced=engine.holds_limits,
        )
        changed = tuple(found.text for found in drift(deployment))
        return explain_full(grant, rate(grant, policy, surroundings), surroundings, changed)

    async def _disk(self, deployment: Deployment) -> str:
        kinds = {permission.kind for permission in deployment.grant.permissions}
        if PermissionKind.FILE_SYSTEM_WRITE not in kinds:
            return ""  # it has none, and to find out may take a trial
        try:
            way = (await self._disks.best(self._labels)).way
        except EngineFailure:
            return ""  # nothing does
        return "a disk of its own (loop ext4)" if way is DiskWay.LOOP else str(way)


def _origin(reference: str) -> ImageOrigin:
    if not reference:
        return ImageOrigin.BUILT_HERE
    return ImageOrigin.PINNED if "@sha256:" in reference else ImageOrigin.UNPINNED
