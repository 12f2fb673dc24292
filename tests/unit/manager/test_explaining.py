"""What `explain` says of a plugin that is deployed: what holds now, and why it differs."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.engine.base import DiskFinding, DiskWay, EngineFailure
from orchestrator.manager.explaining import Explainer
from orchestrator.policy.explanation import Explanation, lines
from tests.unit.manager.permission_house import PermissionHouse


def explainer(house: PermissionHouse) -> Explainer:
    return Explainer(probe=house.engine, disks=house.volumes, labels=house.labels)


async def explained(house: PermissionHouse) -> Explanation:
    return await explainer(house).explain(house.deployment, house.daemon.manager.policy)


async def test_what_was_revoked_is_not_said_to_be_had_and_who_took_it_is_told(
    house: PermissionHouse,
) -> None:
    before = await explained(house)
    await house.revoke()
    after = await explained(house)

    assert [it.permission for it in before.permissions] == ["file_system_read"]
    assert before.changed == ()
    assert after.permissions == ()
    assert after.changed == (
        "file_system_read was revoked by ada (it leaks); the manifest grants it",
    )
    assert "By command" in lines(after)
    assert after.rating.score > before.rating.score


class Disks:
    """A machine whose disks are held in one way, or in none."""

    def __init__(self, way: DiskWay | None) -> None:
        self._way = way
        self.asked = 0

    async def best(self, labels: Mapping[str, str]) -> DiskFinding:
        self.asked += 1
        if self._way is None:
            raise EngineFailure("none holds")
        return DiskFinding(way=self._way, tried=True, passed_over={})


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (DiskWay.LOOP, "a disk of its own (loop ext4)"),
        (DiskWay.QUOTA, DiskWay.QUOTA.value),
        (DiskWay.TMPFS, DiskWay.TMPFS.value),
        (None, "NOTHING: this engine does not enforce it"),
    ],
)
async def test_the_disk_is_told_as_this_machine_holds_it(
    house: PermissionHouse, make: Any, way: DiskWay | None, words: str
) -> None:
    disks = Disks(way)
    asks = Explainer(probe=house.engine, disks=disks, labels={})
    policy = house.daemon.manager.policy
    writes = make.deployment("file_system_write")
    [limit] = [
        limit
        for limit in (await asks.explain(writes, policy)).limits
        if limit.limit == "max_disk_mb"
    ]
    known = await asks.explain(writes, policy, disk="as it was found")
    await asks.explain(house.deployment, policy)

    assert limit.held_by == words
    assert "as it was found" in [it.held_by for it in known.limits]
    assert disks.asked == 1  # neither where it is known nor where there is no disk
