"""What all attacks share: an arena for those on the kernel, a house for those on the wire.

Bringing one up takes longer than most attacks. A file of attacks in the arena says
`pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]`; one in the house has
`with house.unharmed():` around the attack. An attack that is marked `on_gvisor_too` is tried on
both runtimes; where they hold the rule otherwise, the test looks up `arena.runtime`.
"""

from collections.abc import Iterator

import pytest

from tests.support.arena import RUNC, RUNSC, Arena, arena, engine_lacks_gvisor, lay_out_shares
from tests.support.hostile import House
from tests.support.hostile_house import World, settled
from tests.support.hostile_network import roaming
from tests.support.probe import probe_builder

_PLACES = frozenset({"arena", "settlement"})
"""Fixtures that are brought up once for each runtime."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An attack runs on runc, and on gVisor too where it is marked so."""
    for place in _PLACES & {*metafunc.fixturenames}:
        marked = metafunc.definition.get_closest_marker("on_gvisor_too")
        runtimes = (RUNC, RUNSC) if marked else (RUNC,)
        metafunc.parametrize(place, runtimes, indirect=True, scope="package")


@pytest.hookimpl(trylast=True)  # after -k and -m have had their say
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without gVisor on the engine, its half of the attacks is left out, and counted as such."""
    on_gvisor = [item for item in items if _runtime(item) == RUNSC]
    if on_gvisor and engine_lacks_gvisor():
        config.hook.pytest_deselected(items=on_gvisor)
        items[:] = [item for item in items if item not in on_gvisor]


def _runtime(item: pytest.Item) -> str | None:
    """Of the arena or the house that it asks for, if it does."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    chosen = (item.callspec.params.get(place) for place in _PLACES)
    return next((str(runtime) for runtime in chosen if runtime), None)


@pytest.fixture(scope="package", name="arena")
def _arena(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Arena]:
    runtime: str = request.param
    build = probe_builder(tmp_path_factory.mktemp(f"probes-{runtime}"))
    shares = lay_out_shares(tmp_path_factory.mktemp(f"shares-{runtime}"))
    folder = tmp_path_factory.mktemp(f"arena-{runtime}")
    with arena(folder, runtime=runtime, shares=shares, build=build) as made:
        yield made


@pytest.fixture
def bystanders(arena: Arena) -> Iterator[None]:
    """After the attack: the neighbour, the daemon and the host are as they were."""
    yield
    arena.assert_bystanders_are_well()


@pytest.fixture(scope="package")
def settlement(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, World]]:
    runtime: str = request.param
    with settled(tmp_path_factory.mktemp(f"house-{runtime}"), runtime=runtime) as made:
        yield made


@pytest.fixture(scope="package")
def house(settlement: tuple[House, World]) -> House:
    return settlement[0]


@pytest.fixture(scope="package")
def world(settlement: tuple[House, World]) -> World:
    return settlement[1]


@pytest.fixture(scope="package")
def roamers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with roaming(tmp_path_factory.mktemp("roamers")) as made:
        yield made
