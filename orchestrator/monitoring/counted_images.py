"""CountedImages: an ImageStore whose builds are told of, whoever asks for them and for what."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.engine.base import BuildRequest, ImageStore
from orchestrator.errors import OrchestratorError


class CountedImages:
    """`built` is told of each: "ok" or the error's code, and how many seconds it took."""

    def __init__(
        self, images: ImageStore, *, built: Callable[[str, float], None], clock: Clock
    ) -> None:
        self._images = images
        self._built = built
        self._clock = clock

    async def find(self, reference: str) -> str | None:
        return await self._images.find(reference)

    async def pull(self, reference: str, *, timeout_seconds: float) -> str:
        return await self._images.pull(reference, timeout_seconds=timeout_seconds)

    async def build(self, request: BuildRequest, progress: Callable[[str], None]) -> str:
        with self._told():
            return await self._images.build(request, progress)

    async def import_root(
        self, archive: Path, *, tag: str, changes: Mapping[str, str], labels: Mapping[str, str]
    ) -> str:
        with self._told():
            return await self._images.import_root(archive, tag=tag, changes=changes, labels=labels)

    async def read_file(self, image: str, path: str, *, max_bytes: int) -> bytes | None:
        return await self._images.read_file(image, path, max_bytes=max_bytes)

    async def labels(self, image: str) -> Mapping[str, str]:
        return await self._images.labels(image)

    async def tag(self, image: str, name: str) -> None:
        await self._images.tag(image, name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        began, outcome = self._clock.monotonic(), "cancelled"
        try:
            yield
            outcome = "ok"
        except OrchestratorError as error:
            outcome = error.code
            raise
        finally:
            self._built(outcome, self._clock.monotonic() - began)
