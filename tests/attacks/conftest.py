"""What all attacks share: an arena for those on the kernel, a house for those on the wire.

Bringing one up takes longer than most attacks. A file of attacks in the arena says
`pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]`; one in the house has
`with house.unharmed():` around the attack. Where a runtime holds a rule otherwise than runc, the
test asks `arena.runtime` what to expect.
"""

from collections.abc import Iterator

import pytest

from tests.support.arena import Arena, arena, lay_out_shares, runtimes
from tests.support.hostile import House
from tests.support.hostile_house import World, settled
from tests.support.hostile_network import roaming
from tests.support.probe import probe_builder


@pytest.fixture(scope="package", params=runtimes(), name="arena")
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
def settlement(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, World]]:
    with settled(tmp_path_factory.mktemp("house")) as made:
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
