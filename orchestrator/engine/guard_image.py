"""The network guard's image (nft and a static busybox), made when it is first needed.

Its tag holds the hash of its recipe, so what exists is right.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.engine.assets import AssetsMissing
from orchestrator.engine.base import BuildRequest, ImageStore
from orchestrator.engine.base_image import DOCKER_HUB, registry_answers
from orchestrator.engine.debian_root import LABELS, import_debian_root, recipe_tag
from orchestrator.errors import Kind, OrchestratorError

_RECIPE: Final = ("Dockerfile", "debian.sh")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_REGISTRY_CHECK_SECONDS = 2.0
_BUILD_SECONDS = 300.0
_BUILD_MEMORY_BYTES = 1 << 30


class GuardImageFailed(OrchestratorError):
    """The guard's image could not be made; carries what each way said."""

    kind, code = Kind.UNAVAILABLE, "guard_image_failed"


def guard_recipe(package: Path | None = None) -> Path:
    """The recipe's folder, in the wheel or in a checkout. Raises AssetsMissing."""
    package = package or Path(__file__).resolve().parent
    places = (package / "_assets" / "guard", package.parent.parent / "plugin_images" / "guard")
    for place in places:
        if all((place / name).is_file() for name in _RECIPE):
            return place
    raise AssetsMissing(
        f"The network guard's recipe ({', '.join(_RECIPE)}) is expected in {places[0]} or"
        f" {places[1]}; reinstall orchestrator"
    )


def guard_tag(recipe: Path) -> str:
    """The tag that the guard's image of this recipe has, whether it exists or not."""
    return recipe_tag("guard", recipe, _RECIPE)


async def ensure_guard_image(
    images: ImageStore,
    *,
    cache: Path,
    progress: Callable[[str], None],
    registry: str | None = DOCKER_HUB,
    recipe: Path | None = None,
) -> str:
    """The image's tag; makes it if it is missing. Raises GuardImageFailed.

    `registry` None never pulls.
    """
    recipe = recipe or guard_recipe()
    tag = guard_tag(recipe)
    if await images.find(tag) is not None:
        return tag
    progress("Making the network guard's image from Debian packages")
    try:
        await _from_packages(images, tag, recipe=recipe, cache=cache, progress=progress)
    except GuardImageFailed as error:
        if registry is None or not await registry_answers(
            registry, timeout_seconds=_REGISTRY_CHECK_SECONDS
        ):
            raise GuardImageFailed(
                f"{error}\nNor does a registry answer at {registry or 'any address'};"
                " network_access needs this image"
            ) from error
        progress("Building the network guard's image from a registry's Debian")
        await images.build(_request(tag, recipe), progress)
    return tag


async def _from_packages(
    images: ImageStore, tag: str, *, recipe: Path, cache: Path, progress: Callable[[str], None]
) -> None:
    trouble = await import_debian_root(
        images,
        tag,
        script=recipe / "debian.sh",
        cache=cache,
        environment=_ENVIRONMENT,
        progress=progress,
    )
    if trouble:
        raise GuardImageFailed(trouble)


def _request(tag: str, recipe: Path) -> BuildRequest:
    return BuildRequest(
        tag=tag,
        context={"Dockerfile": recipe / "Dockerfile"},
        dockerfile="Dockerfile",
        arguments={},
        network=True,
        memory_bytes=_BUILD_MEMORY_BYTES,
        timeout_seconds=_BUILD_SECONDS,
        labels=LABELS,
    )
