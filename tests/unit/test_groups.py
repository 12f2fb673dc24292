"""What the processes of the Docker tests share out among them."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.groups import ADDRESSES, check_group, group_of


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/attacks/test_cpu.py::test_it[runc]", "attacks"),
        ("tests/attacks/test_log.py::test_it[runc-x]", "attacks"),
        ("tests/attacks/test_log.py::test_it[runsc-x]", "attacks on gVisor"),
        ("tests/attacks/test_network_host.py::test_it[runc]", ADDRESSES),
        ("tests/network/test_quota.py::test_it", ADDRESSES),
        ("tests/e2e/test_network.py::test_it", ADDRESSES),
        ("tests/baseline/test_calls.py::test_it", "baseline"),
        ("tests/e2e/databases/test_plugin.py::test_it[a::b]", "databases"),
        ("tests/store/test_contract.py::test_it[postgresql]", "store"),
        ("tests/store/test_contract.py::test_it[docker]", "store"),
        ("tests/e2e/test_deploy.py::test_it", "tests/e2e/test_deploy.py"),
    ],
)
def test_what_shares_a_place_goes_to_one_process_and_all_else_by_file(
    nodeid: str, group: str
) -> None:
    assert group_of(nodeid) == group


def test_a_test_elsewhere_that_uses_the_addresses_is_told_where_to_say_so() -> None:
    item: Any = SimpleNamespace(nodeid="tests/e2e/test_deploy.py::test_it", fixturenames=[])
    check_group(item)
    item.fixturenames.append(ADDRESSES)

    with pytest.raises(pytest.UsageError, match=r"test_deploy\.py.*groups"):
        check_group(item)
