"""The images of the monitoring stack: pulled by reference, Prometheus' also made from packages."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.engine.assets import AssetsMissing
from orchestrator.engine.base import ImageStore
from orchestrator.engine.base_image import DOCKER_HUB, registry_answers
from orchestrator.engine.debian_root import import_debian_root, recipe_tag
from orchestrator.errors import Kind, OrchestratorError

_SCRIPT: Final = "debian.sh"
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin"}
_REGISTRY_SECONDS: Final = 2.0
_PULL_SECONDS: Final = 300.0


class PrometheusImageFailed(OrchestratorError):
    """Prometheus' image could neither be pulled nor made; carries what each way said."""

    kind, code = Kind.UNAVAILABLE, "prometheus_image_failed"


def prometheus_recipe(package: Path | None = None) -> Path:
    """The recipe's folder, in the wheel or in a checkout. Raises AssetsMissing."""
    package = package or Path(__file__).resolve().parent
    name = "prometheus"
    places = (package / "_assets" / name, package.parent.parent / "plugin_images" / name)
    for place in places:
        if (place / _SCRIPT).is_file():
            return place
    raise AssetsMissing(
        f"Prometheus' recipe ({_SCRIPT}) is expected in {places[0]} or {places[1]};"
        " reinstall orchestrator"
    )


def registry_of(reference: str) -> str:
    """The registry that a reference speaks of, as engines read it."""
    first, slash, _ = reference.partition("/")
    named = slash and re.search(r"[.:]|^localhost$", first)
    return first if named else DOCKER_HUB


async def find_or_pull(images: ImageStore, reference: str) -> tuple[str, str]:
    """(the image's id, why there is none): one of them is empty."""
    if (found := await images.find(reference)) is not None:
        return found, ""
    registry = registry_of(reference)
    if not await registry_answers(registry, timeout_seconds=_REGISTRY_SECONDS):
        return "", f"no registry answers at {registry}"
    try:
        return await images.pull(reference, timeout_seconds=_PULL_SECONDS), ""
    except OrchestratorError as error:
        return "", str(error)


async def ensure_prometheus_image(
    images: ImageStore,
    reference: str,
    *,
    cache: Path,
    progress: Callable[[str], None],
    recipe: Path | None = None,
) -> str:
    """The image's id: of the reference, or of Debian's packages. Raises PrometheusImageFailed."""
    found, why_not = await find_or_pull(images, reference)
    if found:
        return found
    recipe = recipe or prometheus_recipe()
    tag = recipe_tag("prometheus", recipe, (_SCRIPT,))
    if (made := await images.find(tag)) is not None:
        return made
    progress(f"making Prometheus' image from Debian packages ({reference}: {why_not})")
    trouble = await import_debian_root(
        images,
        tag,
        script=recipe / _SCRIPT,
        cache=cache,
        environment=_ENVIRONMENT,
        progress=lambda _line: None,
    )
    if trouble:
        raise PrometheusImageFailed(
            f"Prometheus' image can neither be pulled nor made here.\n"
            f"Pulling {reference}: {why_not}\nDebian packages: {trouble}"
        )
    return await images.find(tag) or tag
