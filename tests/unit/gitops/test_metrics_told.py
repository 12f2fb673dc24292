"""What /metrics tells of a repository that is followed."""

import pytest

from tests.unit.gitops.house import GitHouse


async def told(house: GitHouse) -> dict[str, float]:
    _, text = await house.daemon.monitoring.exporter.scrape()
    rows = (line.rpartition(" ") for line in text.decode().splitlines() if "gitops" in line)
    return {name: float(value) for name, _, value in rows if name[:1] != "#"}


async def test_a_sync_its_state_and_its_failures_are_told(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit(subject="First")
    async with house.follows():
        await house.synced(first)
        await house.states(one="synced")
        well = await told(house)
        (house.manifests / "one.yaml").write_text("kind: [oops\n")
        second = house.push("Second")
        await house.synced(second)
        ill = await told(house)
        looked_at = house.gitops.looked_at

    prefix = "orchestrator_gitops"
    assert well[f'{prefix}_state{{state="synced"}}'] == 1
    assert well[f'{prefix}_state{{state="degraded"}}'] == 0
    assert (well[f"{prefix}_syncs_total"], well[f"{prefix}_failures_total"]) == (1, 0)
    assert ill[f'{prefix}_state{{state="degraded"}}'] == 1
    assert ill[f"{prefix}_last_success_seconds"] == pytest.approx(looked_at, abs=60)


async def test_nobody_pushes_for_days_and_all_is_well(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit(subject="First")
    async with house.follows():
        await house.synced(first)
        await house.states(one="synced")
        house.gitops.looked_at += 1_000.0
        well = await told(house)

        assert well["orchestrator_gitops_last_success_seconds"] == house.gitops.looked_at
