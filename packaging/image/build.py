"""`make daemon-image`: the daemon's image, and those that it will need; prints the image's tag.

The tag is the hash of all that is inside, so what exists is right and nothing is made twice.
"""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pip

from orchestrator.daemon.backends import docker_backends
from orchestrator.daemon.settings import settings_from
from orchestrator.engine.assets import find_assets
from orchestrator.engine.base import BuildRequest, ImageStore
from orchestrator.engine.base_image import LABEL_PYTHON, ensure_base, root_tag
from orchestrator.engine.command import run_command
from orchestrator.engine.guard_image import ensure_guard_image
from orchestrator.engine.wheels import install_wheels, parse_lock
from orchestrator.errors import OrchestratorError
from orchestrator.monitoring.runbooks import FOLDER

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ASSETS = ("base", "guard", "sdk", "code-python")
SECONDS = 600.0
LABELS = {"orchestrator.built": "1"}


def say(line: str) -> None:
    """Progress; standard output is for the tag."""
    sys.stderr.write(f"{line}\n")


async def main() -> str:
    """The tag."""
    settings = settings_from(
        os.environ, instance=None, user_home=Path.home(), is_root=os.geteuid() == 0
    )
    async with docker_backends(settings) as backends:
        images, cache = backends.images, settings.cache
        await ensure_base(images, cache=cache, progress=say)
        # No package manager runs in the daemon's image: what it could not make is made here.
        await ensure_guard_image(images, cache=cache, progress=say)
        return await daemon_image(images, cache)


async def daemon_image(images: ImageStore, cache: Path) -> str:
    """Made if it is missing."""
    root = root_tag(find_assets())
    tools = f"orchestrator/tools:{_hash([HERE / 'tools.sh'])}"
    with tempfile.TemporaryDirectory(prefix="daemon-image-") as work:
        package = _package(Path(work) / "orchestrator")
        recipe = [HERE / "Dockerfile", HERE / "tools.sh", ROOT / "requirements.lock"]
        tag = f"orchestrator/daemon:{_hash([*recipe, *_files(package)], root, pip.__version__)}"
        if await images.find(tag) is not None:
            return tag
        say("Making the daemon's image")
        python = (await images.labels(root))[LABEL_PYTHON]
        pins = parse_lock((ROOT / "requirements.lock").read_text())
        wheels = await install_wheels(pins, python=python, cache=cache, progress=say)
        if await images.find(tools) is None:
            await _import_tools(images, tools, Path(work))
        request = BuildRequest(
            tag=tag,
            context={
                "Dockerfile": HERE / "Dockerfile",
                "orchestrator": package,
                "site-packages": _with_pip(wheels, Path(work) / "site-packages"),
            },
            dockerfile="Dockerfile",
            arguments={"PYTHON_ROOT": root, "TOOLS_ROOT": tools},
            network=False,
            memory_bytes=1 << 30,
            timeout_seconds=SECONDS,
            labels=LABELS,
        )
        await images.build(request, say)
    return tag


def _package(target: Path) -> Path:
    """The orchestrator as its wheel has it: with what gets into plugins' images inside."""
    ignore = shutil.ignore_patterns("__pycache__", "tests")
    shutil.copytree(ROOT / "orchestrator", target, ignore=ignore)
    for name in ASSETS:
        folder = target / "engine" / "_assets" / name
        shutil.copytree(ROOT / "plugin_images" / name, folder, ignore=ignore)
    shutil.copytree(ROOT / FOLDER, target / "monitoring" / "_assets" / "runbooks")
    return target


def _with_pip(wheels: Path, target: Path) -> Path:
    """The daemon fetches plugins' packages with pip."""
    shutil.copytree(wheels, target)
    shutil.copytree(
        Path(pip.__file__).parent, target / "pip", ignore=shutil.ignore_patterns("__pycache__")
    )
    return target


async def _import_tools(images: ImageStore, tag: str, work: Path) -> None:
    archive = work / "tools.tar"
    done = await run_command(
        ("sh", str(HERE / "tools.sh"), str(archive)),
        folder=work,
        timeout_seconds=SECONDS,
        on_line=say,
    )
    if done.exit_code != 0:
        raise SystemExit("\n".join(done.last_lines))
    await images.import_root(archive, tag=tag, changes={}, labels=LABELS)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _hash(files: list[Path], *more: str) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name}:{len(content)}:".encode())
        digest.update(content)
    for text in more:
        digest.update(f"{text}:".encode())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    try:
        sys.stdout.write(asyncio.run(main()) + "\n")
    except OrchestratorError as error:
        sys.exit(f"error: {error}")
