"""Which tests go together when the Docker tests run in several processes.

What is brought up once for many tests is brought up in one process only, and what a machine has
once (the addresses of the tests' own network) is used by one process only. All else goes by file.
xdist's own groups, by mark, are lost on the way with the present pytest; hence a scheduler.
"""

import re
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

ADDRESSES: Final = "addresses"
"""Also the fixture that holds them until its session ends."""
_GROUPS: Final = (
    (r"tests/network/", ADDRESSES),
    (r"tests/e2e/test_network\.py", ADDRESSES),
    (r"tests/(attacks|baseline)/test_network\w*\.py", ADDRESSES),
    (r"tests/attacks/.*\[runsc\b", "attacks on gVisor"),
    (r"tests/attacks/", "attacks"),
    (r"tests/baseline/", "baseline"),
    (r"tests/e2e/databases/", "databases"),
    (r"tests/engine/", "engine"),
    (r"tests/store/", "store"),
)


def group_of(nodeid: str) -> str:
    """The same for all tests that one process should run."""
    found = (group for pattern, group in _GROUPS if re.match(pattern, nodeid))
    return next(found, nodeid.partition("::")[0])


def check_group(item: pytest.Item) -> None:
    """A test of another group that uses the addresses would wait for the end of this one."""
    if ADDRESSES in getattr(item, "fixturenames", ()) and group_of(item.nodeid) != ADDRESSES:
        raise pytest.UsageError(f"{item.nodeid} uses the tests' addresses: add it to {__name__}")


class ByGroup(LoadScopeScheduling):
    """Each group to one process, in the order of collection."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        # Not those of many tests first: those that take long are.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
