"""The end of the scale that is good, where somebody reads it off a board."""

from orchestrator.monitoring.metrics import METRICS
from orchestrator.policy.rating import BEST, WORST
from tests.chaos.paper_house import PaperHouse

NAME = "orchestrator_plugin_security_rating"


async def test_who_may_less_is_rated_higher(house: PaperHouse) -> None:
    house.plugin("harmless")
    granted = [{"external_api": {"hosts": ["a.test:443"]}}, {"file_system_write": {}}]
    house.plugin("mighty", info={"permissions": granted}, permissions=granted)
    async with house.daemon_runs():
        await house.up()
        rows = [
            it.rows for it in house.daemon.monitoring.exporter.board() if it.metric.name == NAME
        ]

    ratings = dict(*rows)
    assert WORST <= ratings["mighty",] < ratings["harmless",] <= BEST
    assert f"{WORST} (worst) to {BEST} (best)" in METRICS[NAME].help
