"""The plugin started outside its container."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.shipped import Shipped, importable, info_of

_PLUGIN = Path(__file__).parents[1]
importable(_PLUGIN)


@pytest.fixture(scope="session")
def info() -> dict[str, Any]:
    return info_of(_PLUGIN)


@pytest.fixture
def start(info: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Starts the plugin with plugin.yaml's defaults; its tools then keep to their schemas."""
    from knowledge_search import KnowledgeSearch  # noqa: PLC0415 - found by the path laid above

    with Shipped(info) as shipped:

        def _start(*, max_disk_mb: int = 64, **config: object) -> Callable[..., Any]:
            return shipped.start(
                KnowledgeSearch,
                config,
                permissions={"file_system_write": {}},
                limits={"max_disk_mb": max_disk_mb},
            )

        yield _start
