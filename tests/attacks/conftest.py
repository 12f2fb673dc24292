"""One house for the whole folder: bringing it up takes longer than most attacks."""

from collections.abc import Iterator

import pytest

from tests.support.hostile import House
from tests.support.hostile_house import World, settled


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
