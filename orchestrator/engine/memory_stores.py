"""MemoryImages and MemoryVolumes: the in-memory twins of the image and volume stores."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from orchestrator.engine.base import BuildRequest, EngineFailure, ImageNotFound, VolumeState
from orchestrator.model.container import VolumeMount


class Failures:
    """Errors laid in wait: the n-th call of a verb meets one."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, int, Exception]] = []

    def add(self, verb: str, error: Exception, *, nth: int = 1) -> None:
        self._waiting.append((verb, nth, error))

    def check(self, verb: str) -> None:
        """Count this call; raises the error whose turn has come."""
        mine = [(name, left - (name == verb), error) for name, left, error in self._waiting]
        due = [error for _, left, error in mine if left == 0]
        self._waiting = [waiting for waiting in mine if waiting[1] > 0]
        if due:
            raise due[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    image_id: str
    labels: Mapping[str, str]
    files: Mapping[str, bytes]


class MemoryImages:
    """ImageStore on paper. `registry` holds what `pull` finds."""

    def __init__(self, registry: Mapping[str, Mapping[str, bytes]] | None = None) -> None:
        self.failures = Failures()
        self.builds: list[BuildRequest] = []
        self._registry = dict(registry or {})
        self._images: dict[str, _Image] = {}

    def add(
        self,
        reference: str,
        *,
        files: Mapping[str, bytes] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Put an image there as if it had been built; its id."""
        content = repr((reference, sorted((files or {}).items()))).encode()
        image_id = f"sha256:{hashlib.sha256(content).hexdigest()}"
        image = _Image(image_id=image_id, labels=dict(labels or {}), files=dict(files or {}))
        self._images[reference] = self._images[image_id] = image
        return image_id

    async def find(self, reference: str) -> str | None:
        await self._enter("find")
        image = self._images.get(reference)
        return image.image_id if image else None

    async def pull(self, reference: str, *, timeout_seconds: float) -> str:
        await self._enter("pull")
        if reference not in self._registry:
            raise ImageNotFound(f"The in-memory registry has no such image: {reference}")
        return self.add(reference, files=self._registry[reference])

    async def build(self, request: BuildRequest, progress: Callable[[str], None]) -> str:
        """The Dockerfile is not run: every file of the context lands at /<path in the context>."""
        await self._enter("build")
        self.builds.append(request)
        progress(f"Building {request.tag}")
        files: dict[str, bytes] = {}
        for path, source in request.context.items():
            files |= await asyncio.to_thread(_read, f"/{path.strip('/')}", source)
        return self.add(request.tag, files=files, labels=request.labels)

    async def import_root(
        self, archive: Path, *, tag: str, changes: Mapping[str, str], labels: Mapping[str, str]
    ) -> str:
        """The archive is not unpacked."""
        await self._enter("import_root")
        return self.add(tag, labels=labels)

    async def read_file(self, image: str, path: str, *, max_bytes: int) -> bytes | None:
        await self._enter("read_file")
        content = self._get(image).files.get(path)
        if content is not None and len(content) > max_bytes:
            raise EngineFailure(
                f"{path} of image {image} has {len(content)} bytes; expected at most {max_bytes}"
            )
        return content

    async def labels(self, image: str) -> Mapping[str, str]:
        await self._enter("labels")
        return self._get(image).labels

    async def tag(self, image: str, name: str) -> None:
        await self._enter("tag")
        self._images[name] = self._get(image)

    def prune(self) -> None:
        """As `docker image prune`: what has no name any more goes, though nobody asked us."""
        named = {one.image_id for name, one in self._images.items() if name != one.image_id}
        self._images = {n: one for n, one in self._images.items() if one.image_id in named}

    async def _enter(self, verb: str) -> None:
        await asyncio.sleep(0)
        self.failures.check(verb)

    def _get(self, reference: str) -> _Image:
        image = self._images.get(reference)
        if image is None:
            raise ImageNotFound(f"The in-memory engine has no such image: {reference}")
        return image


def _read(target: str, source: Path) -> dict[str, bytes]:
    if not source.is_dir():
        return {target: source.read_bytes()}
    inside = sorted(path for path in source.rglob("*") if path.is_file())
    return {
        f"{target.rstrip('/')}/{path.relative_to(source).as_posix()}": path.read_bytes()
        for path in inside
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Volume:
    state: VolumeState
    size_bytes: int
    used_bytes: int = 0
    content: bytes = b""


class MemoryVolumes:
    """VolumeStore and VolumeContent on paper; `fill` says how much a volume holds."""

    def __init__(self) -> None:
        self.failures = Failures()
        self._volumes: dict[str, _Volume] = {}

    async def ensure(self, mount: VolumeMount, labels: Mapping[str, str]) -> VolumeState:
        await self._enter("ensure")
        before = self._volumes.get(mount.volume)
        if before is None:
            state = VolumeState(
                name=mount.volume, labels=tuple(sorted(labels.items())), enforced_by="memory"
            )
            self._volumes[mount.volume] = _Volume(state=state, size_bytes=mount.size_bytes)
            return state
        if before.used_bytes > mount.size_bytes:
            raise EngineFailure(
                f"Volume {mount.volume} holds {before.used_bytes} bytes;"
                f" expected at most {mount.size_bytes} to shrink it"
            )
        self._volumes[mount.volume] = replace(before, size_bytes=mount.size_bytes)
        return before.state

    async def list(self, labels: Mapping[str, str]) -> list[VolumeState]:
        await self._enter("list")
        states = sorted((volume.state for volume in self._volumes.values()), key=lambda it: it.name)
        return [state for state in states if labels.items() <= set(state.labels)]

    async def remove(self, name: str) -> None:
        await self._enter("remove")
        self._volumes.pop(name, None)

    async def read(
        self, volume: str, labels: Mapping[str, str], target: BinaryIO, *, max_bytes: int
    ) -> None:
        """See VolumeContent; what `write` put is read back."""
        await self._enter("read")
        content = self._get(volume).content
        if len(content) > max_bytes:
            raise EngineFailure(
                f"Volume {volume} holds {len(content)} bytes; expected at most {max_bytes}"
            )
        target.write(content)

    async def write(self, volume: str, labels: Mapping[str, str], source: BinaryIO) -> None:
        """See VolumeContent."""
        await self._enter("write")
        self._volumes[volume] = replace(self._get(volume), content=source.read())

    def _get(self, volume: str) -> _Volume:
        if volume not in self._volumes:
            raise EngineFailure(f"The in-memory engine has no such volume: {volume}")
        return self._volumes[volume]

    def size(self, name: str) -> int:
        """What it is held to, in bytes."""
        return self._volumes[name].size_bytes

    def fill(self, name: str, used_bytes: int) -> None:
        """The plugin wrote that much."""
        self._volumes[name] = replace(self._volumes[name], used_bytes=used_bytes)

    async def _enter(self, verb: str) -> None:
        await asyncio.sleep(0)
        self.failures.check(verb)
