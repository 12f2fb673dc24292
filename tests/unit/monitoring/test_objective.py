"""The objective that alerts go by is the policy's, and follows a change of it."""

import pytest

from orchestrator.model.policy import AnalyticsPolicy
from tests.chaos.paper_house import PaperHouse
from tests.unit.monitoring.test_scrape import scrape


async def test_the_objective_is_the_policys(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await house.up()
        usual = await scrape(house)
        house.config.write_text("policy: {analytics: {slo_percent: 99.95}}\n")
        house.plugin("notes")
        await house.up()
        await house.converged()
        changed = await scrape(house)

    assert usual["orchestrator_slo_ratio",] == AnalyticsPolicy().slo_percent / 100
    assert changed["orchestrator_slo_ratio",] == pytest.approx(0.9995)
