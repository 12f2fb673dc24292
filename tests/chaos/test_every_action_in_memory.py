"""The daemon is killed at every boundary of what it does by itself, over the in-memory engine.

What an `up` has it do is in test_every_boundary_in_memory.py. Here nobody asks: plugins fall
asleep and wake up, end, hang and are changed by hand, and an update fails and is gone back from.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pytest

from orchestrator.daemon.backends import Backends
from orchestrator.manager.actions import Action
from orchestrator.manager.statuses import status
from orchestrator.manager.steps import Steps
from orchestrator.model.container import ContainerPhase
from orchestrator.sandbox.call import Reply
from tests.chaos.boundaries import READING, VERBS
from tests.chaos.paper_house import SECONDS, PaperHouse, paper_house
from tests.support.paper import HANG

pytestmark = pytest.mark.chaos
MANY = 60
"""More boundaries than any scene has."""
POLICY = """\
policy:
  rollout: {min_healthy_seconds: 0, progress_deadline_seconds: 1}
  lifecycle: {idle_stop_seconds: 1, start_deadline_seconds: 1}
"""
Deed = Callable[[PaperHouse], Awaitable[Any]]


@dataclass(frozen=True)
class Scene:
    """What happens to the plugin `base`, and how one sees that the daemon is through with it."""

    happens: Deed
    done: Deed
    spec: dict[str, Any]


async def until(holds: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110 - it looks from outside, as a user would
            await asyncio.sleep(0.005)


async def nothing(house: PaperHouse) -> None:
    """Time passes."""


async def only(house: PaperHouse) -> str:
    """The id of the only container."""
    [found] = await house.engine.list({})
    return found.container_id


async def phase(house: PaperHouse) -> ContainerPhase | None:
    found = await house.engine.list({})
    return found[0].phase if found else None


async def asleep(house: PaperHouse) -> None:
    async def holds() -> bool:
        return await phase(house) is None

    await until(holds)


async def paused_and_called(house: PaperHouse) -> None:
    async def holds() -> bool:
        return await phase(house) is ContainerPhase.PAUSED

    await until(holds)
    await house.call("base")


async def well(house: PaperHouse) -> None:
    """It answers, be it that it has to be woken up."""

    async def holds() -> bool:
        answer = await house.call("base", b'{"well": 1}')
        return isinstance(answer, Reply) and answer.status == 200

    await until(holds)


async def ends(house: PaperHouse) -> None:
    house.engine.die(await only(house))


async def restarted(house: PaperHouse) -> None:
    async def holds() -> bool:
        return house.daemon.manager.fleet.plugin_history("base").restarts > 0

    await until(holds)
    await house.converged()


async def hung_and_restarted(house: PaperHouse) -> None:
    """On a busy machine a call may not get there in time: another one does."""

    async def holds() -> bool:
        if house.daemon.manager.fleet.plugin_history("base").restarts > 0:
            return True
        await house.call("base", HANG, deadline_seconds=0.5)
        return False

    await until(holds)
    await house.converged()


async def is_sped_up(house: PaperHouse) -> None:
    await house.engine.set_cpu(await only(house), cpu_percent=99)


async def is_changed(house: PaperHouse) -> None:
    """Everything that can be set back, by hand."""
    container_id = await only(house)
    house.engine.adjust(
        container_id, name="mine", memory_bytes=1, pids_limit=1, networks=("none", "bridge")
    )
    await is_sped_up(house)


async def set_back(house: PaperHouse) -> None:
    async def holds() -> bool:
        [found] = await house.engine.list({})
        spec, now = house.engine.spec(found.container_id), found.adjustable
        return (
            now is not None
            and now.networks != ("none", "bridge")
            and (now.memory_bytes, now.pids_limit) == (spec.memory_bytes, spec.pids_limit)
            and (found.name != "mine", found.cpu_percent) == (True, 10)
        )

    await until(holds)
    await house.converged()


async def is_updated_badly(house: PaperHouse) -> None:
    house.players.mute.add("base")
    number = next(house.numbers)
    house.plugin("base", image=f"bad-{number}", info={"version": f"2.0.{number}"})
    await house.up()


async def gone_back_from(house: PaperHouse) -> None:
    async def holds() -> bool:
        row = status(house.daemon.manager.fleet, "base")
        told = row is not None and (row.sub_state, row.version) == ("rolled_back", "1.0.0")
        return told and len(await house.engine.list({})) == 1

    await until(holds)


SLEEPS = {"idle_timeout": 0.2}
SCENES = {
    "falls asleep": Scene(happens=nothing, done=asleep, spec=SLEEPS),
    "is woken": Scene(happens=paused_and_called, done=well, spec=SLEEPS),
    "ends": Scene(happens=ends, done=restarted, spec={}),
    "hangs": Scene(happens=nothing, done=hung_and_restarted, spec={}),
    "is sped up": Scene(happens=is_sped_up, done=set_back, spec={}),
    "is changed": Scene(happens=is_changed, done=set_back, spec={}),
    "is updated badly": Scene(happens=is_updated_badly, done=gone_back_from, spec={}),
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
async def test_whatever_it_was_at_the_next_daemon_brings_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    at, killed = 0, True
    while killed and at < MANY:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        # Each time anew: failures of one time would hold up the next.
        async with paper_house(folder, monkeypatch) as house:
            await _deploy(house, scene)
            killed = await _killed(house, scene, at)

    assert 1 < at < MANY


async def _killed(house: PaperHouse, scene: Scene, at: int) -> bool:
    """Whether it was at so many boundaries at all; what must hold is so with the next daemon."""
    killed = await house.die(
        lambda: scene.happens(house), at=at, before=True, done=lambda: scene.done(house)
    )
    where = f"{at}: {house.boundaries.passed[-1:]}"
    async with house.daemon_runs():
        if not house.answered:
            await scene.happens(house)
        await scene.done(house)
        await well(house)
        assert await house.leaks() == [], where
        assert house.daemon.audit.verify().intact, where
    return killed


async def _deploy(house: PaperHouse, scene: Scene) -> None:
    house.config.write_text(POLICY)
    house.plugin("base", **scene.spec)
    async with house.daemon_runs():
        await house.up()
        await well(house)


async def test_the_scenes_and_rounds_have_every_action_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds an action adds a scene in which the daemon is killed at it."""
    done: set[type] = set()
    perform = Steps.perform

    async def watched(steps: Steps, action: Action, *more: Any) -> None:
        done.add(type(action))
        await perform(steps, action, *more)

    monkeypatch.setattr(Steps, "perform", watched)
    for number, scene in enumerate(SCENES.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with paper_house(folder, monkeypatch) as house:
            await _deploy(house, scene)
            async with house.daemon_runs():
                await scene.happens(house)
                await scene.done(house)

    assert {*get_args(Action)} - done == set()


def test_every_verb_of_the_backends_is_a_boundary_or_changes_nothing() -> None:
    """Whoever adds a verb that changes something has daemons killed at it."""
    protocols = [
        protocol
        for field in fields(Backends)
        for protocol in [field.type, *get_args(field.type)]
        if getattr(protocol, "_is_protocol", False)
    ]
    verbs = {
        name
        for protocol in protocols
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }

    assert len(protocols) == 10
    assert verbs == VERBS | READING
