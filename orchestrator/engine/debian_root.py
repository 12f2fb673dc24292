"""An image's root from this host's Debian packages, by the recipe's own script; then imported."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from orchestrator.engine.base import ImageStore
from orchestrator.engine.command import run_command
from orchestrator.engine.folder import open_plain

LABELS: Final = {"orchestrator.built": "1"}
_SECONDS: Final = 300.0


def recipe_tag(name: str, recipe: Path, files: Iterable[str]) -> str:
    """The tag that the image of this recipe has, whether it exists or not."""
    digest = hashlib.sha256()
    for file_name in files:
        with open_plain(recipe / file_name) as file:
            content = file.read()
        digest.update(f"{file_name}:{len(content)}:".encode())
        digest.update(content)
    return f"orchestrator/{name}:{digest.hexdigest()[:16]}"


async def import_debian_root(
    images: ImageStore,
    tag: str,
    *,
    script: Path,
    cache: Path,
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> str:
    """Why the image could not be made; empty if it was."""
    script = await asyncio.to_thread(script.absolute)
    cache = await asyncio.to_thread(cache.absolute)
    await asyncio.to_thread(cache.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{script.parent.name}-", dir=cache) as work:
        archive = Path(work) / "root.tar"
        result = await run_command(
            ("sh", str(script), str(archive)),
            folder=Path(work),
            timeout_seconds=_SECONDS,
            on_line=progress,
        )
        if result.exit_code != 0:
            return "\n".join(result.last_lines) or f"exit code {result.exit_code}"
        await images.import_root(archive, tag=tag, changes=environment, labels=LABELS)
    return ""
