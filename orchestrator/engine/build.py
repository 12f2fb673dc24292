"""From a plugin's folder to its image: `plan_image` reads, `ensure_image` makes.

The tag holds the hash of all that goes in, so a tag that exists needs no building, and two
versions of a folder never share one.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.engine.assets import Assets, find_assets
from orchestrator.engine.base import BuildRequest, ImageStore
from orchestrator.engine.base_image import LABEL_PYTHON
from orchestrator.engine.dockerfile import BASE_ARGUMENT, check_dockerfile, uses_base
from orchestrator.engine.folder import InvalidFolder, folder_digest, list_folder, open_plain
from orchestrator.engine.wheels import LOCK_NAME, MAX_LOCK_BYTES, install_wheels, parse_lock
from orchestrator.model.policy import BuildPolicy

LABEL_BUILT = "orchestrator.built"
DOCKERFILE = "Dockerfile"
SITE_PACKAGES = "site-packages"
_MAX_DOCKERFILE_BYTES = 1 << 20
_TAG_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """One image to be: what it will be called, and what it is made of."""

    tag: str
    folder: Path
    base_tag: str | None
    """None when the folder's Dockerfile builds on nothing of ours: no base is needed."""
    dockerfile: str | None
    """The text of the folder's own Dockerfile; None means plugin.Dockerfile."""
    pins: tuple[str, ...]
    """The third-party packages, from requirements.lock."""


def plan_image(
    folder: Path, plugin_id: str, base_tag: str, *, assets: Assets | None = None
) -> ImagePlan:
    """Reads the folder and changes nothing. Raises InvalidFolder, InvalidLock."""
    assets = assets or find_assets()
    names = {file.path for file in list_folder(folder)}
    dockerfile = _read(folder / DOCKERFILE, _MAX_DOCKERFILE_BYTES) if DOCKERFILE in names else None
    lock = _read(folder / LOCK_NAME, MAX_LOCK_BYTES) if LOCK_NAME in names else ""
    pins = parse_lock(lock)
    needs_base = dockerfile is None or uses_base(dockerfile)
    _must_fit_together(folder, names, pins=pins, needs_base=needs_base)
    recipe = _read(assets.base / "plugin.Dockerfile", _MAX_DOCKERFILE_BYTES)
    parts = (
        folder_digest(folder),
        base_tag if needs_base else "",
        recipe if dockerfile is None else "",
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return ImagePlan(
        tag=f"orchestrator/{plugin_id}:{digest[:_TAG_DIGITS]}",
        folder=folder,
        base_tag=base_tag if needs_base else None,
        dockerfile=dockerfile,
        pins=pins,
    )


async def ensure_image(
    plan: ImagePlan,
    *,
    images: ImageStore,
    policy: BuildPolicy,
    cache: Path,
    progress: Callable[[str], None],
    assets: Assets | None = None,
) -> str:
    """The image's id; builds it if the tag does not exist. `plan.base_tag` must exist already.

    Raises DockerfileRefused, DependenciesFailed, BuildFailed, ImageNotFound (no base), DiskFull.
    """
    found = await images.find(plan.tag)
    if found is not None:
        return found
    if plan.dockerfile is not None:
        check_dockerfile(plan.dockerfile, network=policy.network)
    packages = await _packages(plan, images=images, cache=cache, progress=progress)
    context = await asyncio.to_thread(_context, plan, packages, assets or find_assets())
    request = BuildRequest(
        tag=plan.tag,
        context=context,
        dockerfile=DOCKERFILE,
        arguments={BASE_ARGUMENT: plan.base_tag} if plan.base_tag else {},
        network=policy.network,
        memory_bytes=policy.memory_mb << 20,
        timeout_seconds=policy.timeout_seconds,
        labels={LABEL_BUILT: "1"},
    )
    return await images.build(request, progress)


async def _packages(
    plan: ImagePlan, *, images: ImageStore, cache: Path, progress: Callable[[str], None]
) -> Path:
    """The folder of installed packages; an empty one without a lock."""
    if not plan.pins or plan.base_tag is None:
        empty = cache / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        return empty
    python = (await images.labels(plan.base_tag)).get(LABEL_PYTHON, "")
    return await install_wheels(plan.pins, python=python, cache=cache, progress=progress)


def _context(plan: ImagePlan, packages: Path, assets: Assets) -> Mapping[str, Path]:
    """Path in the context → file: exactly what was hashed, one entry a file."""
    files = [file.path for file in list_folder(plan.folder)]
    if plan.dockerfile is None:
        context = {f"plugin/{path}": plan.folder / path for path in files}
        return {
            **context,
            DOCKERFILE: assets.base / "plugin.Dockerfile",
            SITE_PACKAGES: packages,
        }
    context = {path: plan.folder / path for path in files}
    return {**context, SITE_PACKAGES: packages} if plan.pins else context


def _must_fit_together(
    folder: Path, names: set[str], *, pins: tuple[str, ...], needs_base: bool
) -> None:
    if pins and not needs_base:
        raise InvalidFolder(
            f"{folder}: {LOCK_NAME} needs a Dockerfile that builds on ${{{BASE_ARGUMENT}}}:"
            " the packages are chosen for its Python"
        )
    if any(name.startswith(f"{SITE_PACKAGES}/") for name in names) and pins:
        raise InvalidFolder(
            f"{folder}: found both {LOCK_NAME} and a folder {SITE_PACKAGES}; one is expected"
        )
    if not names:
        raise InvalidFolder(f"{folder}: empty; plugin.yaml and code are expected")


def _read(path: Path, max_bytes: int) -> str:
    with open_plain(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise InvalidFolder(f"{path}: larger than {max_bytes:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidFolder(f"{path}: not UTF-8 ({error.reason})") from error
