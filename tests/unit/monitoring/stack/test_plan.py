"""What is removed and made of the stack, from what is wanted and what is there."""

import itertools
from dataclasses import replace

import pytest

from orchestrator.engine.base import LABEL_DIGEST
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.monitoring.stack.plan import LABEL_NETWORK, LABEL_PART, plan
from tests.unit.monitoring.stack.house import wanted

NAMES = ("inner", "door", "prometheus", "grafana")
PARTS = wanted()


def there(name: str, *, network: str = "inner-id", **changes: object) -> ContainerState:
    """A container that is just right."""
    labels = {LABEL_PART: name, LABEL_DIGEST: PARTS[name].digest}
    if PARTS[name].joins:
        labels[LABEL_NETWORK] = network
    whole = ContainerState(
        container_id=f"{name}-id",
        name=PARTS[name].container_name,
        labels=tuple(labels.items()),
        phase=ContainerPhase.RUNNING,
        started_at=100.0 if name == "inner" else 101.0,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def names(found: ContainerState | None, *more: ContainerState) -> list[str]:
    return [each.label(LABEL_PART) for each in (found, *more) if each is not None]


def test_from_nothing_everything_is_made_what_joins_after_what_it_joins() -> None:
    todo = plan([*PARTS.values()], [])

    assert [part.name for part in todo.make] == [*NAMES]
    assert todo.remove == ()


@pytest.mark.parametrize("order", [*itertools.permutations(NAMES)])
def test_what_is_right_is_left_alone_whatever_the_order(order: tuple[str, ...]) -> None:
    todo = plan([*PARTS.values()], [there(name) for name in order])

    assert (todo.remove, todo.make) == ((), ())
    assert dict(todo.kept) == {name: f"{name}-id" for name in NAMES}


def test_where_nothing_is_wanted_everything_goes() -> None:
    todo = plan([], [there(name) for name in NAMES])

    assert names(*todo.remove) == [*NAMES]
    assert todo.make == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "phase", [ContainerPhase.CREATED, ContainerPhase.EXITED, ContainerPhase.PAUSED]
)
def test_what_does_not_run_is_replaced(name: str, phase: ContainerPhase) -> None:
    found = [there(it, **({"phase": phase} if it == name else {})) for it in NAMES]

    todo = plan([*PARTS.values()], found)
    replaced = {"inner", "prometheus", "grafana"} if name == "inner" else {name}
    assert {*names(*todo.remove)} == {part.name for part in todo.make} == replaced


def test_what_is_otherwise_than_wanted_is_replaced() -> None:
    other = there("door", labels=((LABEL_PART, "door"), (LABEL_DIGEST, "other")))

    todo = plan([*PARTS.values()], [other, *map(there, ("inner", "prometheus", "grafana"))])
    assert names(*todo.remove) == ["door"]
    assert [part.name for part in todo.make] == ["door"]


def test_who_joined_a_relay_that_is_gone_is_replaced() -> None:
    stray = there("prometheus", network="another")

    todo = plan([*PARTS.values()], [stray, *map(there, ("inner", "door", "grafana"))])
    assert names(*todo.remove) == ["prometheus"]


def test_who_joined_before_the_relay_was_started_again_is_replaced() -> None:
    again = there("inner", started_at=200.0)

    todo = plan([*PARTS.values()], [again, *map(there, ("door", "prometheus", "grafana"))])
    assert {*names(*todo.remove)} == {"prometheus", "grafana"}


def test_a_second_container_of_a_part_goes() -> None:
    twin = there("door", container_id="twin")

    todo = plan([*PARTS.values()], [*map(there, NAMES), twin])
    assert [it.container_id for it in todo.remove] == ["twin"]
    assert todo.make == ()


def test_a_strangers_container_that_bears_the_label_goes() -> None:
    stranger = there("door", container_id="x", labels=((LABEL_PART, "miner"),))

    assert plan([*PARTS.values()], [*map(there, NAMES), stranger]).remove == (stranger,)
