"""A test that needs Docker fails without it: a skipped proof proves nothing."""

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from orchestrator.engine.docker_client import DockerClients
from orchestrator.errors import OrchestratorError
from tests.support.groups import ByGroup, check_group
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


def pytest_configure(config: pytest.Config) -> None:
    """What a script starts in its background ignores Ctrl-C, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    check_group(item)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup | None:
    return ByGroup(config, log) if config.option.dist == "loadgroup" else None


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
