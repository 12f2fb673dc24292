"""Catalogue: what is registered, of which category, and in what order it is loaded."""

from typing import Any

import pytest

from orchestrator.model.info import PluginCategory
from orchestrator.registry.catalogue import (
    Catalogue,
    PluginNotRegistered,
    PluginRegisteredOtherwise,
)
from orchestrator.registry.resolve import DependenciesUnresolved


def catalogue(make: Any, *rows: dict[str, Any]) -> Catalogue:
    made = Catalogue()
    for row in rows:
        made.add(make.info(**row))
    return made


def test_plugins_are_known_by_id_and_category(make: Any) -> None:
    made = catalogue(
        make,
        {"plugin_id": "b", "category": "security"},
        {"plugin_id": "a", "category": "security"},
        {"plugin_id": "c", "category": "analytics"},
    )

    assert [info.plugin_id for info in made.plugins] == ["a", "b", "c"]
    assert dict(made.categories) == {
        PluginCategory.SECURITY: ("a", "b"),
        PluginCategory.ANALYTICS: ("c",),
    }


def test_what_a_plugin_needs_comes_before_it_and_what_it_does_not_need_not_at_all(
    make: Any,
) -> None:
    made = catalogue(
        make,
        {"plugin_id": "a", "dependencies": ("b", "c@^1")},
        {"plugin_id": "b", "dependencies": ("c",)},
        {"plugin_id": "c", "version": "1.4.0"},
        {"plugin_id": "other", "dependencies": ("a",)},
    )

    assert made.levels("a") == (("c",), ("b",), ("a",))
    assert made.levels("c") == (("c",),)


def test_another_version_takes_the_place_of_the_one_before(make: Any) -> None:
    made = catalogue(make, {"plugin_id": "a"}, {"plugin_id": "a", "version": "9.0.0"})

    assert [info.version for info in made.plugins] == ["9.0.0"]


def test_the_same_version_with_other_content_is_refused_and_named(make: Any) -> None:
    made = catalogue(make, {"plugin_id": "a", "author": "Ada"})
    made.add(make.info(plugin_id="a", author="Ada"))
    with pytest.raises(PluginRegisteredOtherwise, match="another author"):
        made.add(make.info(plugin_id="a", author="Eve"))

    assert made.find("a").author == "Ada"


def test_what_nobody_registered_is_not_found(make: Any) -> None:
    made = catalogue(make, {"plugin_id": "a"}, {"plugin_id": "b"})
    with pytest.raises(PluginNotRegistered, match=r"'ghost', expected .*: a, b"):
        made.levels("ghost")


@pytest.mark.parametrize(
    ("needs", "words"),
    [("ghost", "'ghost'"), ("b@^2", r"b 1\.0\.0, expected \^2"), ("b", "cycle")],
)
def test_needs_that_cannot_be_met_are_told(make: Any, needs: str, words: str) -> None:
    made = catalogue(
        make,
        {"plugin_id": "a", "dependencies": (needs,)},
        {"plugin_id": "b", "version": "1.0.0", "dependencies": ("a",) if needs == "b" else ()},
    )
    with pytest.raises(DependenciesUnresolved, match=words):
        made.levels("a")
