"""resolve: levels of plugins that need each other, or every reason why there are none."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Kind
from orchestrator.registry.resolve import DependenciesUnresolved, Node, resolve


def node(plugin_id: str, *dependencies: str, version: str = "1.0.0", **more: Any) -> Node:
    return Node(plugin_id=plugin_id, version=version, dependencies=dependencies, **more)


def problems(*nodes: Node) -> tuple[str, ...]:
    with pytest.raises(DependenciesUnresolved) as caught:
        resolve(nodes)
    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "dependencies_unresolved")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_nothing_has_no_levels() -> None:
    assert resolve([]) == ()


def test_plugins_come_in_levels_by_name() -> None:
    nodes = [node("d", "b", "c"), node("c", "a"), node("b", "a"), node("z"), node("a")]

    assert resolve(nodes) == (("a", "z"), ("b", "c"), ("d",))


@pytest.mark.parametrize("version_range", ["", "@^1.2", "@1.x", "@>=1.2.3 <2", "@*"])
def test_a_version_within_the_range_will_do(version_range: str) -> None:
    nodes = [node("a", f"b{version_range}"), node("b", version="1.4.0")]

    assert resolve(nodes) == (("b",), ("a",))


def test_a_missing_dependency_is_named_as_it_was_written() -> None:
    assert problems(node("a", "b@^2")) == (
        "a: plugin.yaml dependencies[0]: found 'b@^2', expected a plugin that has a manifest",
    )


def test_a_dependency_of_the_wrong_version_is_named_with_both() -> None:
    assert problems(node("a", "b@^2"), node("b", version="1.9.9")) == (
        "a: plugin.yaml dependencies[0]: found b 1.9.9, expected ^2",
    )


def test_a_running_plugin_does_not_depend_on_a_stopped_one() -> None:
    assert problems(node("a", "b"), node("b", runs=False)) == (
        "a: plugin.yaml dependencies[0]: found b with spec.state stopped, expected running",
    )


def test_a_stopped_plugin_may_depend_on_a_stopped_one() -> None:
    assert resolve([node("a", "b", runs=False), node("b", runs=False)]) == (("b",), ("a",))


def test_all_problems_come_at_once_by_plugin() -> None:
    found = problems(
        node("c", "b"), node("a", "x", "b@^2"), node("b", runs=False), node("d", "y", runs=False)
    )

    assert [problem.partition(":")[0] for problem in found] == ["a", "a", "c", "d"]
    assert [problem.partition("found ")[2].split(",")[0] for problem in found] == [
        "'x'",
        "b 1.0.0",
        "b with spec.state stopped",
        "'y'",
    ]


def test_a_cycle_is_named_in_the_direction_of_need() -> None:
    nodes = {"a": "b", "b": "c", "c": "a"}
    [problem] = problems(*(node(one, other) for one, other in nodes.items()), node("d", "a"))
    circle = problem.removeprefix("dependencies: found the cycle ").removesuffix(", expected none")
    members = circle.split(" → ")

    assert members[0] == members[-1]
    assert sorted(members[1:]) == ["a", "b", "c"]
    assert all(nodes[one] == other for one, other in itertools.pairwise(members))


@given(st.permutations("abcdef"), st.data())
def test_whoever_is_needed_comes_earlier_and_as_early_as_can_be(
    order: list[str], data: st.DataObject
) -> None:
    needs = {
        name: data.draw(st.sets(st.sampled_from(order[:number])) if number else st.just(set()))
        for number, name in enumerate(order)
    }
    levels = resolve([node(name, *sorted(needs[name])) for name in sorted(order)])
    level_of = {name: number for number, level in enumerate(levels) for name in level}

    assert sorted(level_of) == sorted(order)
    for name in order:
        assert level_of[name] == max((level_of[need] + 1 for need in needs[name]), default=0)
