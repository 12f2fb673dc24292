"""The house of the audit log's tests."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.store.audit_house import House


@pytest.fixture
def house(tmp_path: Path, clock: Any) -> House:
    return House(tmp_path / "audit", clock)
