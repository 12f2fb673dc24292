"""The images that run handed-in code: one plugin folder for each language, shipped with us."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

from orchestrator.engine.base import ImageStore
from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.build import ensure_image, plan_image
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.info import PluginInfo
from orchestrator.model.load import load_plugin_info
from orchestrator.model.policy import BuildPolicy

LANGUAGES: Final = MappingProxyType({"python": "code-python"})
"""Language → folder."""


class LanguageUnknown(OrchestratorError):
    kind, code = Kind.INVALID, "code_language_unknown"

    def __init__(self, language: str) -> None:
        known = ", ".join(sorted(LANGUAGES))
        super().__init__(f"language: found {language!r}, expected one of {known}")


class RunnerMissing(OrchestratorError):
    """The installation is incomplete: a language's runner is not there."""

    kind, code = Kind.INTERNAL, "code_runner_missing"


class CodeImages:
    """Built when first asked for; `base_lock` is shared with whoever else makes the base image."""

    def __init__(
        self,
        *,
        images: ImageStore,
        cache: Path,
        policy: Callable[[], BuildPolicy],
        base_lock: asyncio.Lock,
    ) -> None:
        self._images = images
        self._cache = cache
        self._policy = policy
        self._base_lock = base_lock
        self._one = asyncio.Lock()
        """Two first runs at the same time need one image."""

    async def ensure(self, language: str) -> tuple[PluginInfo, str]:
        """The runner's metadata and its image's id.

        Raises LanguageUnknown, RunnerMissing, BuildFailed and its kin.
        """
        if language not in LANGUAGES:
            raise LanguageUnknown(language)
        folder = await asyncio.to_thread(_folder, LANGUAGES[language])
        info = await asyncio.to_thread(load_plugin_info, folder)
        async with self._one:
            async with self._base_lock:
                base = await ensure_base(self._images, cache=self._cache, progress=_quiet)
            plan = await asyncio.to_thread(plan_image, folder, info.plugin_id, base)
            image = await ensure_image(
                plan,
                images=self._images,
                policy=self._policy(),
                cache=self._cache,
                progress=_quiet,
            )
        return info, image


def _folder(name: str) -> Path:
    """In the wheel, or in a checkout."""
    package = Path(__file__).resolve().parent
    places = (package / "_assets" / name, package.parent.parent / "plugin_images" / name)
    for place in places:
        if (place / "plugin.yaml").is_file():
            return place
    raise RunnerMissing(
        f"the runner {name}/plugin.yaml is expected in {places[0].parent} or {places[1].parent}; "
        "reinstall orchestrator"
    )


def _quiet(line: str) -> None:
    """Nobody waits in front of a screen: what went wrong is in the error."""
