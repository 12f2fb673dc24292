"""Wants and sightings in few words."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.manager.actions import LABEL_REQUIRES, Health, Sighting, Want
from orchestrator.manager.restart import History
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.policy.compile import replica_id
from tests.unit.manager.permission_house import PermissionHouse
from tests.unit.manager.rollout_house import RolloutHouse


@dataclass(frozen=True)
class Words:
    """`want("a", "b")`: a depends on b. `seen("a")`: a's right revision, running and ready."""

    def want(self, plugin_id: str, *dependencies: str, **changes: Any) -> Want:
        plain: dict[str, Any] = {
            "plugin_id": plugin_id,
            "digest": f"{plugin_id}-new",
            "sandbox_id": f"{plugin_id}-new",
            "cpu_percent": 10,
            "dependencies": dependencies,
        }
        return Want(**plain | changes)

    def seen(
        self,
        plugin_id: str,
        *requires: str,
        digest: str = "",
        health: Health = Health.READY,
        trouble: str = "",
        replica: int = 0,
        well_seconds: float | None = None,
        **changes: Any,
    ) -> Sighting:
        revision = digest or f"{plugin_id}-new"
        labels = {
            LABEL_PLUGIN: plugin_id,
            LABEL_DIGEST: revision,
            LABEL_SANDBOX: replica_id(revision, replica),
            LABEL_REQUIRES: ",".join(requires),
        }
        plain: dict[str, Any] = {
            "container_id": f"c-{plugin_id}",
            "name": plugin_id,
            "labels": tuple(labels.items()),
            "phase": ContainerPhase.RUNNING,
            "cpu_percent": 10,
        }
        container = ContainerState(**plain | changes)
        return Sighting(
            container=container, health=health, trouble=trouble, well_seconds=well_seconds
        )

    def failed(self, *times: float) -> History:
        return History(failures=times, reason="exit_code_1")


@pytest.fixture(scope="session")
def words() -> Words:
    return Words()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    """`notes` asks for three permissions and is granted two, one of them in part."""
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest({"file_system_read": {"shares": ["docs"]}})
    async with house.open():
        await house.up()
        yield house


@pytest.fixture
async def rollout_house(tmp_path: Path, make: Any) -> AsyncIterator[RolloutHouse]:
    """Nothing is deployed yet."""
    house = RolloutHouse(tmp_path, make)
    house.manifest()
    async with house.open():
        yield house
