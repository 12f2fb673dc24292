"""What `down` takes away, though a killed daemon's last request is still under way."""

import pytest

from orchestrator.engine.base import EngineFailure
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.manager import sweep as module
from orchestrator.manager.sweep import sweep
from orchestrator.model.container import VolumeMount

LABELS = {"orchestrator.instance": "one"}


@pytest.fixture
async def volumes(monkeypatch: pytest.MonkeyPatch) -> MemoryVolumes:
    monkeypatch.setattr(module, "PAUSES_SECONDS", (0.0, 0.0))
    made = MemoryVolumes()
    await made.ensure(VolumeMount(volume="v", target="/data", size_bytes=1), LABELS)
    return made


async def down(volumes: MemoryVolumes) -> tuple[int, int]:
    return await sweep(
        engine=MemoryEngine(),
        volumes=volumes,
        networks=MemoryNetworks(),
        labels=LABELS,
        roots=(),
        with_volumes=True,
    )


async def test_a_volume_that_is_still_mounted_is_tried_again(volumes: MemoryVolumes) -> None:
    volumes.failures.add("remove", EngineFailure("is mounted"))

    assert await down(volumes) == (0, 1)
    assert await volumes.list(LABELS) == []


async def test_a_volume_that_stays_mounted_is_told(volumes: MemoryVolumes) -> None:
    for nth in (1, 2, 3):
        volumes.failures.add("remove", EngineFailure("is mounted"), nth=nth)

    with pytest.raises(EngineFailure, match="is mounted"):
        await down(volumes)
