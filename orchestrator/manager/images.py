"""ImageBuilder: a plugin's image, there when its container is to be made; the base image first."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.engine.base import ImageNotFound, ImageStore
from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.build import ensure_image, plan_image
from orchestrator.manager.deployment import Deployment
from orchestrator.model.policy import BuildPolicy

_STEP: Final = re.compile(r"Step (\d+)/(\d+)")
_FETCHED: Final = re.compile(r"(?:Collecting|Downloading|Processing) +(?:\S*/)?([A-Za-z0-9_.]+)")


def in_words(line: str) -> str | None:
    """What a line of the builder's or pip's means to somebody who waits; None for most."""
    step, fetched = _STEP.match(line.strip()), _FETCHED.match(line.strip())
    if step:
        return f"building its image, step {step[1]} of {step[2]}"
    if fetched:
        return f"fetching {fetched[1]}"
    return None


class ImageBuilder:
    """Builds at most `policy.parallel` images at a time, and the base image once.

    `base_lock` is shared with whoever else makes the base image.
    """

    def __init__(self, *, images: ImageStore, cache: Path, base_lock: asyncio.Lock) -> None:
        self._images = images
        self._cache = cache
        self._base = base_lock
        self._places: tuple[int, asyncio.Semaphore] = (0, asyncio.Semaphore(0))

    async def ensure(
        self, deployment: Deployment, policy: BuildPolicy, progress: Callable[[str], None]
    ) -> None:
        """Raises BuildFailed and its kin, or ImageNotFound where nothing can be built."""
        inputs = deployment.inputs
        if await self._images.find(inputs.image) is not None:
            return
        if not inputs.build_folder:
            raise ImageNotFound(
                f"{inputs.origin}: spec.source.image: the engine no longer holds {inputs.image}; "
                "run `orchestrator up` again to pull it"
            )
        folder = Path(inputs.build_folder)

        def tell(line: str) -> None:
            words = in_words(line)
            if words is not None:
                progress(words)

        progress("waiting for the base image")
        async with self._base:
            base = await ensure_base(self._images, cache=self._cache, progress=tell)
        plan = await asyncio.to_thread(plan_image, folder, deployment.plugin_id, base)
        if plan.tag != inputs.image:
            raise ImageNotFound(
                f"{folder}: found other content than when `orchestrator up` read it "
                f"({plan.tag}, not {inputs.image}); run `orchestrator up` again"
            )
        progress("waiting for a place to build")
        async with self._place(policy.parallel):
            await ensure_image(
                plan,
                images=self._images,
                policy=policy,
                cache=self._cache,
                progress=tell,
            )

    def _place(self, count: int) -> asyncio.Semaphore:
        """As many builds at a time as the policy says now."""
        if self._places[0] != count:
            self._places = (count, asyncio.Semaphore(count))
        return self._places[1]
