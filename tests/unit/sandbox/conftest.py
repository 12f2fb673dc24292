"""The event loops that the tests run on, and a house for each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from tests.unit.sandbox.house import House


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The daemon's loop; where order matters, also the one whose callbacks come in another."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "uvloop": uvloop.new_event_loop
    }
    if item.path.stem in {"test_calls", "test_queue", "test_life", "test_listener"}:
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    house.close()
    await asyncio.sleep(0)
