"""Every build of an image is counted, by how it ended."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import BuildFailed, BuildRequest
from orchestrator.engine.memory_stores import MemoryImages
from orchestrator.monitoring.counted_images import CountedImages
from orchestrator.monitoring.happenings import Happenings


class Failing(MemoryImages):
    async def build(self, request: BuildRequest, progress: Any) -> str:
        raise BuildFailed("no")


@pytest.fixture
def happenings() -> Happenings:
    return Happenings()


def counted(images: MemoryImages, happenings: Happenings) -> CountedImages:
    return CountedImages(images, built=happenings.built, clock=SystemClock())


def request(tmp_path: Path) -> BuildRequest:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return BuildRequest(
        tag="notes:1",
        context={"Dockerfile": tmp_path / "Dockerfile"},
        dockerfile="Dockerfile",
        arguments={},
        network=False,
        memory_bytes=1 << 30,
        timeout_seconds=10.0,
        labels={},
    )


async def test_a_build_is_counted_and_the_image_is_there(
    tmp_path: Path, happenings: Happenings
) -> None:
    images = counted(MemoryImages(), happenings)
    built = await images.build(request(tmp_path), lambda _: None)

    assert await images.find("notes:1") == built
    assert happenings.builds == {"ok": 1, "build_failed": 0}
    assert happenings.build_times.count == 1


async def test_one_that_fails_is_counted_by_its_code(
    tmp_path: Path, happenings: Happenings
) -> None:
    with pytest.raises(BuildFailed):
        await counted(Failing(), happenings).build(request(tmp_path), lambda _: None)

    assert happenings.builds == {"ok": 0, "build_failed": 1}


async def test_to_look_for_an_image_is_no_build(happenings: Happenings) -> None:
    assert await counted(MemoryImages(), happenings).find("notes:1") is None
    assert happenings.build_times.count == 0
