"""What is looked at from time to time, since a scrape cannot wait for it."""

import asyncio
import time

import pytest

from orchestrator.monitoring import looks
from tests.chaos.paper_house import PaperHouse


async def test_an_engine_that_is_away_leaves_what_was_known(house: PaperHouse) -> None:
    async with house.daemon_runs():
        seen = house.daemon.monitoring.looks
        await seen.look()
        before = seen.engine
        house.engine.set_available(False)
        await seen.look()
        _, text = await house.daemon.monitoring.exporter.scrape()
        house.engine.set_available(True)

    assert before is not None
    assert seen.engine is before
    assert b"orchestrator_host_memory_admitted_bytes 8589934592\n" in text


async def test_a_loop_that_is_held_up_is_late(
    house: PaperHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "LAG_SECONDS", 0.02)
    async with house.daemon_runs():
        await asyncio.sleep(0.05)
        time.sleep(0.3)  # noqa: ASYNC251 - as somebody's mistake would
        await asyncio.sleep(0.05)

        assert house.daemon.monitoring.looks.loop_lag > 0.2


async def test_the_audit_log_is_verified_by_itself(
    house: PaperHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "FIRST_AUDIT_SECONDS", 0.0)
    async with house.daemon_runs(), asyncio.timeout(10):
        while house.daemon.monitoring.looks.audit_intact is None:  # noqa: ASYNC110 - as who scrapes
            await asyncio.sleep(0.01)

        assert house.daemon.monitoring.looks.audit_intact
