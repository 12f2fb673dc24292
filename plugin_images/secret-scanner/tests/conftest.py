"""The plugin started outside its container, its share in a folder of the test's."""

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
def share(tmp_path: Path) -> Path:
    """The share `documents`, empty, where the plugin under test looks for shares."""
    folder = tmp_path / "mnt" / "documents"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def start(info: dict[str, Any], share: Path) -> Iterator[Callable[..., Any]]:
    """Starts the plugin with plugin.yaml's defaults; its tools then keep to their schemas."""
    from secret_scanner import SecretScanner  # noqa: PLC0415 - found by the path laid above

    class Sandboxed(SecretScanner):
        shares_root = share.parent

    with Shipped(info) as shipped:
        granted = {"file_system_read": {"shares": ["documents"]}}
        yield lambda **config: shipped.start(Sandboxed, config, permissions=granted)
