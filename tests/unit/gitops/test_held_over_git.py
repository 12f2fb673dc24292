"""An update over git that asks for more waits for a grant, as after any `up`."""

from orchestrator.gitops.book import MAX_ONCE, Book
from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from orchestrator.store.memory import MemoryStore
from tests.unit.gitops.house import GitHouse

HOST = {"external_api": {"hosts": ["a.example:443"]}}
MORE = {"external_api": {"hosts": ["a.example:443", "b.example:443"]}}


def asks(house: GitHouse, version: str, permission: object) -> None:
    """The plugin `one` asks for it, and its manifest grants it."""
    house.plugin(
        "one", version=version, permissions=[permission], spec={"permissions": [permission]}
    )


async def test_an_update_that_asks_for_more_waits_for_a_grant_and_is_nobodys_drift(
    house: GitHouse,
) -> None:
    asks(house, "1.0.0", HOST)
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        asks(house, "1.1.0", MORE)
        house.plugin("two", version="1.1.0")
        second = house.push()
        await house.synced(second)
        await house.settled(one=SubState.RUNNING, two=SubState.RUNNING)
        await house.rests()

        assert (house.version("one"), house.version("two")) == ("1.0.0", "1.1.0")
        assert house.status.state is SyncState.OUT_OF_SYNC
        row = house.plugins["one"]
        assert (row.state, row.reason) == (
            SyncState.OUT_OF_SYNC,
            "its update asks for more: it waits for a grant",
        )
        assert (house.status.heals_total, house.record.heal) == (0, None)
        held = house.daemon.manager.fleet.held["one"]
        assert held.version == "1.1.0"
        await house.daemon.permissions.grant_update("one", held.update)
        await house.whole(SyncState.SYNCED)
        assert house.version("one") == "1.1.0"
        assert house.record.heals_total == 0


async def test_it_waits_on_over_a_restart_and_a_commit_that_does_not_touch_it(
    house: GitHouse,
) -> None:
    asks(house, "1.0.0", HOST)
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        asks(house, "1.1.0", MORE)
        await house.synced(house.push())
    async with house.goes_on():
        house.plugin("two")
        third = house.push()
        await house.synced(third)
        await house.settled(two=SubState.RUNNING)

        assert house.version("one") == "1.0.0"
        assert house.plugins["one"].reason == "its update asks for more: it waits for a grant"
        asks(house, "1.1.1", HOST)
        fourth = house.push()
        await house.synced(fourth)
        assert (house.version("one"), house.daemon.manager.fleet.held) == ("1.1.1", {})
        await house.whole(SyncState.SYNCED)


async def test_what_was_taken_away_and_comes_back_asking_for_more_waits_too(
    house: GitHouse,
) -> None:
    """Nobody typed it: it would be a way round the grant, in two commits."""
    asks(house, "1.0.0", HOST)
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        house.drop("one")
        await house.synced(house.push())
        await house.until(lambda: "one" not in house.daemon.manager.fleet.deployments)
        asks(house, "1.1.0", MORE)
        await house.synced(house.push())

        assert house.plugins["one"].reason == "its update asks for more: it waits for a grant"
        assert house.version("one") == "1.0.0"
        held = house.daemon.manager.fleet.held["one"]
    async with house.goes_on():  # a restart lets nothing through either
        house.drop("one")
        await house.synced(house.push())
        await house.until(lambda: "one" not in house.daemon.manager.fleet.deployments)
    async with house.goes_on():
        asks(house, "1.1.0", MORE)
        await house.synced(house.push())
        assert house.version("one") == "1.0.0"
        held = house.daemon.manager.fleet.held["one"]
        await house.daemon.permissions.grant_update("one", held.update)
        await house.whole(SyncState.SYNCED)
        assert house.version("one") == "1.1.0"


async def test_what_comes_back_asking_for_no_more_waits_for_nobody(house: GitHouse) -> None:
    asks(house, "1.0.0", MORE)
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows(sync={"prune": "auto"}):
        await house.synced(first)
        house.drop("one")
        await house.synced(house.push())
        asks(house, "1.1.0", HOST)
        await house.synced(house.push())

        assert (house.version("one"), house.daemon.manager.fleet.held) == ("1.1.0", {})
        await house.whole(SyncState.SYNCED)


async def test_of_very_many_that_are_gone_the_newest_are_remembered(house: GitHouse) -> None:
    house.plugin("one")
    sha = house.repo.commit()
    async with house.follows():
        await house.synced(sha)
        one = house.daemon.manager.fleet.deployments["one"].inputs
    store = MemoryStore()
    book = Book(store)
    book.remember_once({f"p{number}": one for number in range(MAX_ONCE)})
    book.remember_once({"p0": one, "more": one})

    for known in (book, Book(store)):
        assert known.once("p0") == known.once("more") == one
        assert known.once("p1") is None
    book.close()
    assert (book.once("p0"), Book(store).once("p0")) == (None, None)
