"""Brake: what a revoke takes from a plugin that runs, whatever else is going on."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.engine.base import (
    LABEL_DIGEST,
    LABEL_PLUGIN,
    LABEL_ROLE,
    EngineInfo,
    EngineUnavailable,
)
from orchestrator.model.container import ContainerPhase
from orchestrator.model.permissions import PermissionKind
from orchestrator.policy.guard_containers import network_name
from orchestrator.sandbox.listener import make_folder
from orchestrator.store.base import StoreUnavailable
from tests.unit.manager.permission_house import API, PermissionHouse


async def test_a_container_that_holds_what_was_revoked_is_killed_before_the_answer(
    house: PermissionHouse,
) -> None:
    container_id = await house.runs()
    await house.revoke()
    history = house.daemon.manager.fleet.plugin_history("notes")

    assert await house.exit_code(container_id) == 137  # SIGKILL: it was not asked
    assert (history.failures, history.reason) == ((), "")
    assert house.daemon.manager.fleet.busy == {}


async def test_a_container_that_holds_nothing_of_it_is_left_to_an_orderly_replacement(
    house: PermissionHouse,
) -> None:
    await house.system.grant_permission("notes", API)
    container_id = await house.runs()
    await house.revoke(API)

    assert await house.phase(container_id) is ContainerPhase.RUNNING


async def test_the_container_of_another_plugin_or_of_the_new_revision_is_left_alone(
    house: PermissionHouse,
) -> None:
    compiled = house.deployment.compiled
    other = await house.engine.create(
        compiled.spec,
        name="other",
        labels={**house.labels, LABEL_PLUGIN: "mail", LABEL_DIGEST: compiled.digest},
    )
    await house.engine.start(other)
    await house.revoke()
    fresh = await house.runs()
    await house.revoke()

    assert await house.phase(other) is ContainerPhase.RUNNING
    assert await house.phase(fresh) is ContainerPhase.RUNNING


async def test_a_start_that_was_under_way_is_caught_when_its_container_comes_up(
    house: PermissionHouse,
) -> None:
    fleet = house.daemon.manager.fleet
    fleet.busy.begin("notes", "a step", "starting")
    old = house.deployment.compiled

    async def late_start() -> str:
        await asyncio.sleep(0.2)
        labels = {**house.labels, LABEL_PLUGIN: "notes", LABEL_DIGEST: old.digest}
        container_id = await house.engine.create(old.spec, name="late", labels=labels)
        await house.engine.start(container_id)
        return container_id

    async with asyncio.TaskGroup() as group:
        started = group.create_task(late_start())
        group.create_task(house.revoke())
    fleet.busy.clear()

    assert await house.phase(started.result()) is ContainerPhase.EXITED


async def test_a_revoke_does_not_wait_for_an_up_and_is_not_undone_by_it(
    house: PermissionHouse,
) -> None:
    house.manifest({"file_system_read": {"shares": ["docs"]}}, limits={"max_memory_mb": 64})
    async with asyncio.TaskGroup() as group:
        up = group.create_task(house.up())
        await asyncio.sleep(0)  # it has the lock now, and waits for the engine
        assert house.daemon.manager.one.locked()
        await house.revoke()
        finished_first = not up.done()

    assert finished_first
    assert house.deployment.grant.limits.max_memory_mb == 64
    assert house.has == {}


async def test_a_revoke_that_comes_after_an_up_has_decided_is_not_undone(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = house.engine.info

    async def meanwhile() -> EngineInfo:
        await house.revoke()
        return await info()

    monkeypatch.setattr(house.engine, "info", meanwhile)
    house.manifest({"file_system_read": {"shares": ["docs"]}}, limits={"max_memory_mb": 64})
    await house.up()

    assert house.deployment.grant.limits.max_memory_mb == 64
    assert house.has == {}


async def test_the_new_revision_that_comes_up_meanwhile_is_left_alone(
    house: PermissionHouse,
) -> None:
    house.daemon.manager.fleet.busy.begin("notes", "a step", "starting")
    async with asyncio.TaskGroup() as group:
        group.create_task(house.revoke())
        await asyncio.sleep(0.1)
        fresh = await house.runs()
        await asyncio.sleep(0.2)
        house.daemon.manager.fleet.busy.clear()

    assert await house.phase(fresh) is ContainerPhase.RUNNING


async def test_a_revoke_holds_on_a_full_disk_and_says_that_it_will_be_forgotten(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = await house.runs()

    def full(*_: object) -> None:
        raise StoreUnavailable("the state could not be written: disk full")

    monkeypatch.setattr(house.daemon.manager.fleet.store, "put_all", full)
    with pytest.raises(StoreUnavailable):
        await house.revoke()

    assert house.has == {}
    assert await house.phase(container_id) is ContainerPhase.EXITED
    assert house.audited("permission_revoke")[0][0] == "failed"


async def test_a_revoke_without_an_engine_holds_and_tells_what_is_left(
    house: PermissionHouse,
) -> None:
    house.engine.set_available(available=False)
    with pytest.raises(EngineUnavailable):
        await house.revoke()

    assert house.has == {}
    assert house.audited("permission_revoke")[0][0] == "failed"


async def test_a_plugins_network_is_cut_and_its_pause_left_to_the_guard(
    house: PermissionHouse,
) -> None:
    house.manifest("network_access")
    await house.up()
    name = network_name(house.prefix, "notes")
    pause = await house.engine.create(
        house.deployment.compiled.spec,
        name="pause",
        labels={**house.labels, LABEL_PLUGIN: "notes", LABEL_ROLE: "pause"},
    )
    await house.engine.start(pause)
    await house.networks.create(name, subnet="10.0.0.0/29", labels={})
    await house.networks.connect(name, pause)
    await house.revoke(PermissionKind.NETWORK_ACCESS)
    [network] = await house.networks.list({})

    assert network.containers == ()
    assert await house.phase(pause) is ContainerPhase.RUNNING


async def test_a_revoke_of_something_else_leaves_the_network(house: PermissionHouse) -> None:
    house.manifest("network_access", {"file_system_read": {"shares": ["docs"]}})
    await house.up()
    name = network_name(house.prefix, "notes")
    await house.networks.create(name, subnet="10.0.0.0/29", labels={})
    await house.networks.connect(name, "pause")
    await house.revoke()
    [network] = await house.networks.list({})

    assert network.containers == ("pause",)


async def test_an_earlier_revision_is_not_brought_up_again_after_a_revoke(
    house: PermissionHouse,
) -> None:
    fleet = house.daemon.manager.fleet
    old = house.deployment
    house.manifest({"file_system_read": {"shares": ["docs"]}}, limits={"max_memory_mb": 64})
    await house.up()
    fleet.earlier["notes"] = {old.compiled.digest: old}
    await house.revoke()

    assert fleet.find("notes", old.compiled.sandbox_id) is None


@pytest.mark.parametrize("granted_now", [True, False])
async def test_a_revoke_reaches_an_earlier_revision_that_still_runs(
    house: PermissionHouse, *, granted_now: bool
) -> None:
    """The update does not have the permission any more, or has it too: the old one does."""
    fleet = house.daemon.manager.fleet
    running = await house.runs()
    more = [{"file_system_read": {"shares": ["docs"]}}] if granted_now else []
    house.manifest(*more, limits={"max_memory_mb": 64})
    await house.up()
    found = await house.engine.inspect(running)
    assert found is not None
    fleet.containers[running] = found
    await house.revoke()

    assert await house.phase(running) is ContainerPhase.EXITED


async def test_a_revoke_of_what_was_not_granted_ends_nothing(
    house: PermissionHouse,
) -> None:
    house.manifest()
    await house.up()
    running = await house.runs()
    await house.revoke(API)

    assert await house.phase(running) is ContainerPhase.RUNNING


@pytest.mark.parametrize("back", ["granted", "reset"])
async def test_what_was_cut_of_a_container_that_runs_on_is_opened_when_it_is_wanted_again(
    house: PermissionHouse, back: str
) -> None:
    """The revoke was taken back before another container had taken over."""
    house.manifest({"external_api": {"hosts": ["a.example:443"]}})
    await house.up()
    access = house.daemon.manager.loop._steps._access
    folder = Path(house.deployment.compiled.sockets_folder)
    make_folder(folder)
    await access.open(house.deployment, house.daemon.manager.policy)
    sockets = [_names(folder)]
    await house.revoke(API)
    sockets.append(_names(folder))
    if back == "granted":
        await house.system.grant_permission("notes", API)
    else:
        await house.system.reset_permissions("notes")
    sockets.append(_names(folder))

    assert [len(each) for each in sockets] == [1, 0, 1]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
