"""The daemon is killed at every boundary of every scenario, over the in-memory engine.

One house goes round: what is deployed, changed and taken away is deployed again, and each time the
daemon is killed one boundary later. The next daemon is told nothing that its predecessor answered
for; a command that the kill cut off is given again, as a user would.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.manager import networks
from orchestrator.sandbox.call import Reply
from tests.chaos.paper_house import NETWORK, PaperHouse, paper_house

pytestmark = pytest.mark.chaos
WRITES = ["file_system_write"]
Write = Callable[[PaperHouse], None]


def deploy(house: PaperHouse) -> None:
    """`ask` needs `base`; `disk` has /data."""
    house.plugin("base")
    house.plugin("ask", info={"dependencies": ["base"]})
    house.plugin("disk", info={"permissions": WRITES}, permissions=WRITES)


def change(house: PaperHouse) -> None:
    house.plugin("base", image="2", info={"version": "2.0.0"})
    house.plugin("disk", image="2", info={"permissions": WRITES}, permissions=WRITES)


def lose_one(house: PaperHouse) -> None:
    house.drop("ask")


def lose_all(house: PaperHouse) -> None:
    for path in house.manifests.iterdir():
        path.unlink()


def deploy_more(house: PaperHouse) -> None:
    """`net` has a network of its own behind the guard; the image of `made` is built."""
    granted = {"permissions": [NETWORK]}
    house.plugin("net", info=granted, **granted)
    house.folder("made", info={"version": f"1.0.{next(house.numbers)}"})


def change_more(house: PaperHouse) -> None:
    """`net` has to stop before it starts anew, in the network that is there."""
    granted = {"permissions": [NETWORK]}
    house.plugin("net", image="2", info=granted, **granted)
    house.folder("made", info={"version": f"2.0.{next(house.numbers)}"})


def lose_network(house: PaperHouse) -> None:
    house.drop("net")


ROUNDS: dict[str, list[Write]] = {
    "plugins": [deploy, change, lose_one, lose_all],
    "networks and builds": [deploy_more, change_more, lose_network, lose_all],
}
"""What a user writes, one `up` after each."""
MANY = 100
"""More boundaries than any `up` of the round has."""


@pytest.mark.parametrize(
    ("writes", "before"),
    [
        (ROUNDS["plugins"], True),
        (ROUNDS["plugins"], False),
        # After one is before the next: what the other two show of plugins holds of networks.
        (ROUNDS["networks and builds"], True),
    ],
    ids=["plugins before", "plugins after", "networks and builds before"],
)
async def test_a_daemon_killed_at_any_boundary_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[Write], *, before: bool
) -> None:
    monkeypatch.setattr(networks, "TURN_SECONDS", 0.05)  # nobody waits for whole turns here
    left = writes
    async with paper_house(tmp_path, monkeypatch) as house:
        for at in range(1, MANY):
            killed = [
                write for write in writes if await _step(house, write, left, at=at, before=before)
            ]
            if not killed:
                break
            left = killed

    assert at > len(writes) * 3
    assert at < MANY - 1


async def _step(
    house: PaperHouse, write: Write, left: list[Write], *, at: int, before: bool
) -> bool:
    """One `up`, its daemon killed at that boundary if it has so many, and all that must hold."""
    wanted = sorted(path.stem for path in house.manifests.iterdir())
    write(house)
    now = sorted(path.stem for path in house.manifests.iterdir())
    killed = await house.die(house.up, at=at if write in left else 0, before=before)
    where = f"{write.__name__}, {at}: {house.boundaries.passed[-1:]}"
    async with house.daemon_runs():
        assert sorted(house.daemon.manager.fleet.deployments) in (wanted, now), where
        if not house.answered:
            await house.up()
        await house.converged()
        replies = [await house.call(name, b'{"well": 1}') for name in now]
        answers = [(r.status, json.loads(r.body)) for r in replies if isinstance(r, Reply)]
        assert answers == [(200, {"echo": {"well": 1}})] * len(now), where
        assert await house.leaks() == [], where
        assert house.daemon.audit.verify().intact, where
    return killed
