"""How the stack's images are had: as they are there, from a registry, from packages."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.engine.assets import AssetsMissing
from orchestrator.engine.base_image import DOCKER_HUB
from orchestrator.engine.memory_stores import MemoryImages
from orchestrator.engine.stack_images import (
    PrometheusImageFailed,
    ensure_prometheus_image,
    find_or_pull,
    prometheus_recipe,
    registry_of,
)

NOWHERE = "127.0.0.1:1/prom/prometheus:v1"
"""Of a registry that does not answer."""


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Path]:
    def made(script: str) -> Path:
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        (folder / "debian.sh").write_text(script)
        return folder

    return made


async def ensure(images: MemoryImages, recipe: Path, told: list[str]) -> str:
    return await ensure_prometheus_image(
        images, NOWHERE, cache=recipe.parent / "cache", progress=told.append, recipe=recipe
    )


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("prom/prometheus:v1", DOCKER_HUB),
        ("prometheus", DOCKER_HUB),
        ("quay.io/prometheus/prometheus", "quay.io"),
        ("localhost/prom", "localhost"),
        ("127.0.0.1:5000/prom", "127.0.0.1:5000"),
    ],
)
def test_a_reference_names_its_registry(reference: str, registry: str) -> None:
    assert registry_of(reference) == registry


async def test_an_image_that_is_there_is_taken_as_it_is() -> None:
    images = MemoryImages()
    held = images.add(NOWHERE)

    assert await find_or_pull(images, NOWHERE) == (held, "")


async def test_without_a_registry_it_is_said_which_does_not_answer() -> None:
    found, why_not = await find_or_pull(MemoryImages(), NOWHERE)

    assert found == ""
    assert why_not == "no registry answers at 127.0.0.1:1"


async def test_prometheus_is_made_from_packages_once(recipe: Callable[[str], Path]) -> None:
    images, told, folder = MemoryImages(), list[str](), recipe('echo made; : >"$1"')
    first = await ensure(images, folder, told)
    again = await ensure(images, folder, told)

    assert first == again != ""
    assert len(told) == 1
    assert "no registry answers at 127.0.0.1:1" in told[0]


async def test_another_recipe_makes_another_image(recipe: Callable[[str], Path]) -> None:
    images, told = MemoryImages(), list[str]()
    first = await ensure(images, recipe(': >"$1"'), told)

    assert await ensure(images, recipe(': >"$1" # other'), told) != first


async def test_where_neither_goes_it_is_said_what_stood_in_each_way(
    recipe: Callable[[str], Path],
) -> None:
    with pytest.raises(PrometheusImageFailed) as caught:
        await ensure(MemoryImages(), recipe("echo no packages here >&2; exit 69"), [])

    assert "no registry answers at 127.0.0.1:1" in str(caught.value)
    assert "no packages here" in str(caught.value)


def test_the_recipe_lies_in_the_checkout() -> None:
    assert (prometheus_recipe() / "debian.sh").is_file()


def test_an_incomplete_installation_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(AssetsMissing, match=r"debian\.sh"):
        prometheus_recipe(tmp_path / "a" / "b")
