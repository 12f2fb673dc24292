"""The base image of Python plugins, made when it is first needed.

Two layers: a Python root (from a registry where one answers, else from this host's Debian
packages) and the SDK. Both tags hold the hash of their recipe, so what exists is right.
"""

import asyncio
import hashlib
import re
import ssl
import tempfile
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

from orchestrator.engine.assets import SDK_PACKAGE, Assets, find_assets
from orchestrator.engine.base import BuildFailed, BuildRequest, ImageStore
from orchestrator.engine.command import run_command
from orchestrator.engine.folder import list_folder, open_plain
from orchestrator.errors import Kind, OrchestratorError

LABEL_PYTHON = "orchestrator.python"
DOCKER_HUB = "registry-1.docker.io"

_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_LABELS = {"orchestrator.built": "1"}
_ROOT_RECIPE = ("Dockerfile", "debian.sh")
_SDK_RECIPE = "sdk.Dockerfile"
_REGISTRY_CHECK_SECONDS = 2.0
_PULL_SECONDS = 20.0
_DEBIAN_SECONDS = 300.0
_BUILD_SECONDS = 300.0
_BUILD_MEMORY_BYTES = 1 << 30
_MAX_ANSWER = 4_096


class BaseImageFailed(OrchestratorError):
    """No Python root could be made; carries what each way said."""

    kind, code = Kind.UNAVAILABLE, "base_image_failed"


def base_tag(assets: Assets | None = None) -> str:
    """The tag that the base image of this installation has, whether it exists or not."""
    assets = assets or find_assets()
    package = assets.sdk / SDK_PACKAGE
    files = [(f"sdk/{file.path}", package / file.path) for file in list_folder(package)]
    recipe = [(name, assets.base / name) for name in (*_ROOT_RECIPE, _SDK_RECIPE)]
    return f"orchestrator/base:{_digest([*recipe, *files])}"


def root_tag(assets: Assets) -> str:
    """The tag of the Python root below it."""
    recipe = [(name, assets.base / name) for name in _ROOT_RECIPE]
    return f"orchestrator/python:{_digest(recipe)}"


async def ensure_base(
    images: ImageStore,
    *,
    cache: Path,
    progress: Callable[[str], None],
    registry: str | None = DOCKER_HUB,
    assets: Assets | None = None,
) -> str:
    """The base image's tag; makes the image if it is missing. Raises BaseImageFailed.

    `registry` None never pulls. Give `progress` something to show: making it takes seconds.
    """
    assets = assets or find_assets()
    tag = base_tag(assets)
    if await images.find(tag) is not None:
        return tag
    root = root_tag(assets)
    if await images.find(root) is None:
        await _make_root(
            images, root, assets=assets, cache=cache, progress=progress, registry=registry
        )
    python = (await images.labels(root)).get(LABEL_PYTHON, "")
    progress("Adding the SDK to the base image")
    request = _request(
        tag,
        {"Dockerfile": assets.base / _SDK_RECIPE} | _sdk_context(assets),
        arguments={"PYTHON_ROOT": root},
        python=python,
    )
    await _attempt(images.build(request, progress))
    return tag


async def registry_answers(host: str, *, timeout_seconds: float) -> bool:
    """Whether an image registry speaks at `host`.

    Networks exist that accept every connection and carry none, so it is the answer that counts.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            name, _, port = host.partition(":")
            secure = ssl.create_default_context()
            reader, writer = await asyncio.open_connection(name, int(port or 443), ssl=secure)
            try:
                writer.write(f"GET /v2/ HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
                answer = await reader.read(_MAX_ANSWER)
            finally:
                writer.transport.abort()
    except (OSError, ValueError):  # a TimeoutError is an OSError
        return False
    return is_registry(answer)


def is_registry(answer: bytes) -> bool:
    """Whether that is how a registry answers `GET /v2/` (401 or 200, and its own header)."""
    status, _, head = answer.partition(b"\r\n")
    spoken = status.startswith(b"HTTP/1.") and status[9:12] in {b"200", b"401"}
    return spoken and b"docker-distribution-api-version" in head.lower()


async def _make_root(
    images: ImageStore,
    tag: str,
    *,
    assets: Assets,
    cache: Path,
    progress: Callable[[str], None],
    registry: str | None,
) -> None:
    reason = "pulling is switched off"
    if registry is not None:
        reason = f"no registry answers at {registry}"
        if await registry_answers(registry, timeout_seconds=_REGISTRY_CHECK_SECONDS):
            try:
                return await _pull_root(images, tag, assets=assets, progress=progress)
            except OrchestratorError as error:
                reason = str(error)
    progress(f"Making the base image from Debian packages ({reason})")
    try:
        await _debian_root(images, tag, assets=assets, cache=cache, progress=progress)
    except BaseImageFailed as error:
        raise BaseImageFailed(
            "The base image can neither be pulled nor made here.\n"
            f"Pulling: {reason}\nDebian packages: {error}"
        ) from error
    return None


async def _pull_root(
    images: ImageStore, tag: str, *, assets: Assets, progress: Callable[[str], None]
) -> None:
    recipe = assets.base / "Dockerfile"
    with open_plain(recipe) as file:
        text = file.read().decode()
    found = re.search(r"^FROM (\S+:(\d+\.\d+)\S*)$", text, re.MULTILINE)
    if found is None:
        raise BaseImageFailed(f"{recipe}: found no 'FROM image:<minor version>'")
    image, python = found.groups()
    progress(f"Pulling {image}")
    await images.pull(image, timeout_seconds=_PULL_SECONDS)
    await images.build(_request(tag, {"Dockerfile": recipe}, arguments={}, python=python), progress)


async def _debian_root(
    images: ImageStore,
    tag: str,
    *,
    assets: Assets,
    cache: Path,
    progress: Callable[[str], None],
) -> None:
    await asyncio.to_thread(cache.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=cache) as work:
        archive = Path(work) / "root.tar"
        result = await run_command(
            ("sh", str(assets.base.resolve() / "debian.sh"), str(archive.resolve())),
            folder=Path(work),
            timeout_seconds=_DEBIAN_SECONDS,
            on_line=progress,
        )
        if result.exit_code != 0:
            raise BaseImageFailed("\n".join(result.last_lines) or f"exit code {result.exit_code}")
        labels = {**_LABELS, LABEL_PYTHON: result.last_stdout_line}
        await _attempt(images.import_root(archive, tag=tag, changes=_ENVIRONMENT, labels=labels))


async def _attempt(step: Coroutine[None, None, str]) -> None:
    """Our own recipe failing to build is no fault of a plugin's, whatever the engine calls it."""
    try:
        await step
    except BuildFailed as error:
        raise BaseImageFailed(str(error)) from error


def _sdk_context(assets: Assets) -> dict[str, Path]:
    package = assets.sdk / SDK_PACKAGE
    return {f"{SDK_PACKAGE}/{file.path}": package / file.path for file in list_folder(package)}


def _request(
    tag: str, context: dict[str, Path], *, arguments: dict[str, str], python: str
) -> BuildRequest:
    return BuildRequest(
        tag=tag,
        context=context,
        dockerfile="Dockerfile",
        arguments=arguments,
        network=False,
        memory_bytes=_BUILD_MEMORY_BYTES,
        timeout_seconds=_BUILD_SECONDS,
        labels={**_LABELS, LABEL_PYTHON: python},
    )


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        with open_plain(path) as file:
            content = file.read()
        digest.update(f"{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
