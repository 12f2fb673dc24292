"""A whole orchestrator over the in-memory engine, whose metrics are looked at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.paper_house import PaperHouse, paper_house


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PaperHouse]:
    async with paper_house(tmp_path, monkeypatch) as made:
        yield made
