"""A test that needs Docker fails without it: a skipped proof proves nothing."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from orchestrator.engine.docker_client import DockerClients
from orchestrator.errors import OrchestratorError
from tests.support.groups import group_of
from tests.support.instance import Instance, new_name
from tests.support.internet import addresses, host_service, internet

__all__ = ["addresses", "host_service", "internet"]

pytest.register_assert_rewrite("tests.support.arena")  # its assertions speak for themselves too

# In CI a run must mean the same for the same commit; elsewhere each run tries something new.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@functools.cache
def _why_no_engine() -> str | None:
    try:
        DockerClients.connect().own(timeout=10).close()
    except OrchestratorError as error:
        return str(error)
    return None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item, config.rootpath)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and (reason := _why_no_engine()):
        pytest.fail(f"{reason}\n(`-m 'not docker'` leaves the Docker tests out)", pytrace=False)


def _take_down(made: Instance) -> None:
    made.destroy()
    left = made.left_over()
    made.purge()
    assert left == []


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """An orchestrator of the test's own; everything it made is taken down."""
    made = Instance(tmp_path, new_name())
    yield made
    _take_down(made)


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The same for all tests of a module, for those that only look."""
    made = Instance(tmp_path_factory.mktemp("instance"), new_name())
    yield made
    _take_down(made)
