"""WayBack: which revision a plugin can go back to today.

A revision is remembered as what it was decided from, and is decided anew: what was revoked since,
or is forbidden by now, does not come back with it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from orchestrator.engine.base import EngineUnavailable, ImageNotFound, ImageStore
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.build import plan_image
from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment, Inputs
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.resolve import check_dependencies
from orchestrator.manager.revisions import Candidate, Revision, Rollout, choose
from orchestrator.model.policy import SecurityPolicy

_ID: Final = "sha256:"
_NAME_DIGITS: Final = 16
Settle = Callable[[Inputs, SecurityPolicy], Deployment]
"""Inputs as they are weighed today. Raises PermissionRefused and its kin."""


class WayBack:
    """Weighs, and keeps images; changes nothing else."""

    def __init__(self, *, fleet: Fleet, images: ImageStore, settle: Settle) -> None:
        self.settle = settle
        self._fleet = fleet
        self._images = images

    async def keep(self, deployment: Deployment) -> None:
        """Have no `docker image prune` take the image of a revision that was well.

        One that was built has its own name; one that was named by others is nobody's once that
        name moves on to another. Raises EngineUnavailable.
        """
        image = deployment.inputs.image
        if image.startswith(_ID):
            digits = image.removeprefix(_ID)[:_NAME_DIGITS]
            with contextlib.suppress(ImageNotFound):  # removed by force while its container runs
                await self._images.tag(image, f"orchestrator/{deployment.plugin_id}:{digits}")

    def weighed(self, inputs: Inputs, policy: SecurityPolicy) -> tuple[Deployment | None, str]:
        """The deployment, or why it is refused today."""
        try:
            return self.settle(inputs, policy), ""
        except OrchestratorError as error:
            return None, str(error)

    async def find(
        self, rollout: Rollout, bad: Deployment, policy: SecurityPolicy
    ) -> tuple[int, Deployment | None, str]:
        """The newest revision that was well and can run; or 0, None and why there is none.

        Raises EngineUnavailable.
        """
        candidates: list[Candidate] = []
        for revision in rollout.healthy:
            deployment, obstacle = self.weighed(as_asked(revision.inputs, bad.inputs), policy)
            candidate = await self._candidate(revision, deployment, obstacle, bad)
            candidates.append(candidate)
            chosen, _ = choose([candidate], bad.compiled.digest)
            if chosen is not None:
                return revision.number, deployment, ""
        return 0, None, choose(candidates, bad.compiled.digest)[1]

    def today(
        self, target: Deployment, bad: Deployment, policy: SecurityPolicy
    ) -> tuple[Deployment | None, str]:
        """What was found as it is weighed now; None and why if it is no way back any more."""
        again, obstacle = self.weighed(target.inputs, policy)
        if again is None:
            return None, obstacle
        if not again.running or again.compiled.digest == bad.compiled.digest:
            return None, "it cannot work without what was revoked"
        return again, ""

    async def _candidate(
        self, revision: Revision, deployment: Deployment | None, obstacle: str, bad: Deployment
    ) -> Candidate:
        if deployment is None:
            return Candidate(revision=revision, obstacle=obstacle)
        digest = deployment.compiled.digest
        if digest != bad.compiled.digest:
            obstacle = self._unfit(deployment) or await self._without_image(deployment)
        return Candidate(revision=revision, digest=digest, obstacle=obstacle)

    def _unfit(self, deployment: Deployment) -> str:
        """Why a revoke, or the other plugins, leave it no place."""
        if not deployment.running:
            return "it cannot work without what was revoked"
        wanted = {**self._fleet.deployments, deployment.plugin_id: deployment}
        try:
            check_dependencies(wanted.values())
        except OrchestratorError as error:
            return str(error)
        return ""

    async def _without_image(self, deployment: Deployment) -> str:
        """Why its image cannot be had; empty if it is there, or can be built again."""
        inputs = deployment.inputs
        try:
            if await self._images.find(inputs.image) is not None:
                return ""
            if inputs.build_folder:
                folder = Path(inputs.build_folder)
                plan = await asyncio.to_thread(plan_image, folder, deployment.plugin_id, base_tag())
                if plan.tag == inputs.image:
                    return ""
        except EngineUnavailable:
            raise  # it says nothing of the image: look again when it is back
        except (OrchestratorError, OSError) as error:
            return f"its image {inputs.image}: {error}"
        return f"its image {inputs.image} is gone and cannot be made again"


def as_asked(inputs: Inputs, asked: Inputs) -> Inputs:
    """A revision's inputs with what the operator says of the plugin whichever revision runs."""
    now = asked.manifest.spec
    fields = {"state": now.state, "replicas": now.replicas, "idle_timeout": now.idle_timeout}
    spec = inputs.manifest.spec.model_copy(update=fields)
    manifest = inputs.manifest.model_copy(update={"spec": spec})
    return replace(inputs, manifest=manifest, origin=asked.origin)
