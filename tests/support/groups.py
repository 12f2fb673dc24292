"""Which tests go together when the Docker tests run in several processes.

What is brought up once for many tests is brought up in one process only, and what a machine has
once (addresses of the tests' own network) is used by one process only. All else goes by file.
"""

from pathlib import Path
from typing import Final

import pytest

_TOGETHER: Final = ("tests/baseline", "tests/e2e/databases", "tests/engine")
"""Folders whose tests share what takes long to bring up."""
_ATTACKS: Final = "tests/attacks"
_PLACES: Final = ("arena", "settlement")
_ADDRESSES: Final = "addresses"
"""The fixture that holds the addresses for its session."""


def group_of(item: pytest.Item, root: Path) -> str:
    """The same for all tests that one process should run."""
    if _ADDRESSES in getattr(item, "fixturenames", ()):
        return _ADDRESSES
    path = item.path.relative_to(root).as_posix()
    for folder in _TOGETHER:
        if path.startswith(f"{folder}/"):
            return folder
    if path.startswith(f"{_ATTACKS}/") and isinstance(item, pytest.Function):
        callspec = getattr(item, "callspec", None)
        for place in _PLACES if callspec is not None else ():
            if place in callspec.params:
                return f"{_ATTACKS}-{callspec.params[place]}"
    return path
