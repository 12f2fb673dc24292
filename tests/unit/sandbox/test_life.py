"""The life of a sandbox: its control lane, how it ends, and that it leaves nothing behind."""

import asyncio

import pytest

from orchestrator.sandbox import sandbox as module
from orchestrator.sandbox.call import CallFailure, Reply
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState
from tests.unit.sandbox.house import Dialled, House, Plugin, Seen, open_files, settle


async def _controlled(house: House) -> tuple[PluginSandbox, Plugin, Dialled]:
    sandbox, plugin = await house.sandbox()
    control = await plugin.dial("control")
    await plugin.dial()
    return sandbox, plugin, control


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/initialize", b'{"config":{}}'),
        ("GET", "/v1/status", b""),
        ("POST", "/v1/cleanup", b""),
    ],
)
async def test_the_orchestrators_own_requests_take_the_control_lane(
    house: House, method: str, path: str, body: bytes
) -> None:
    sandbox, _, control = await _controlled(house)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(sandbox.control(method, path, body, deadline_seconds=5.0))
        request = await control.request()
        control.answer(b'{"state":"ready"}')

    assert request.line == f"{method} {path} HTTP/1.1"
    assert request.body == body
    assert request.headers["x-caller"] == "orchestrator"
    assert request.headers["x-request-id"] == f"echo-1-{path.rpartition('/')[2]}"
    assert isinstance(asked.result(), Reply)


async def test_control_requests_pass_by_calls_that_take_all_connections(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    control = await plugin.dial("control")
    line = await plugin.dial()
    sandbox.mark_ready()
    house.call(sandbox)
    await line.request()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(sandbox.control("GET", "/v1/status", b"", deadline_seconds=5.0))
        await control.request()
        control.answer()

    assert isinstance(asked.result(), Reply)


async def test_control_requests_wait_for_each_other(house: House) -> None:
    sandbox, _, control = await _controlled(house)
    async with asyncio.TaskGroup() as group:
        for path in ("/v1/a", "/v1/b"):
            group.create_task(sandbox.control("POST", path, b"", deadline_seconds=5.0))
        lines = []
        for _ in range(2):
            lines.append((await control.request()).line.split()[1])
            await settle()
            assert control.unread == b""
            control.answer()

    assert lines == ["/v1/a", "/v1/b"]


async def test_a_control_request_has_a_deadline_and_costs_the_connection(house: House) -> None:
    sandbox, _, control = await _controlled(house)
    failure = await sandbox.control("GET", "/v1/status", b"", deadline_seconds=0.05)

    assert isinstance(failure, CallFailure)
    assert failure.code == "deadline_exceeded"
    assert await control.ended()
    assert sandbox.state is SandboxState.STARTING


async def test_an_answer_to_control_is_at_most_1_mib(house: House) -> None:
    sandbox, _, control = await _controlled(house)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(sandbox.control("GET", "/v1/status", b"", deadline_seconds=5.0))
        await control.request()
        control.answer(bytes((1 << 20) + 1))
    failure = asked.result()

    assert isinstance(failure, CallFailure)
    assert failure.code == "response_too_large"


async def test_a_lost_control_connection_makes_it_stuck_in_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONTROL_SECONDS", 0.15)
    sandbox, _, control = await _controlled(house)
    sandbox.mark_ready()
    control.close()
    await settle()
    before = str(sandbox.state)
    await asyncio.sleep(0.25)

    assert before == "ready"
    assert sandbox.state is SandboxState.STUCK
    assert sandbox.trouble == "its control connection was lost"
    assert house.changes == ["starting", "ready", "stuck its control connection was lost"]


async def test_a_control_connection_dialled_again_keeps_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each loss has its own time: one shortly before another's time is up is not that one."""
    monkeypatch.setattr(module, "CONTROL_SECONDS", 0.2)
    sandbox, plugin, control = await _controlled(house)
    sandbox.mark_ready()
    control.close()
    await settle()
    second = await plugin.dial("control")
    await asyncio.sleep(0.1)
    second.close()
    await asyncio.sleep(0.13)
    before = str(sandbox.state)
    await plugin.dial("control")
    await asyncio.sleep(0.2)

    assert before == "ready"
    assert sandbox.state is SandboxState.READY


@pytest.mark.parametrize("ending", ["died", "give_up"])
async def test_one_that_is_known_to_be_stuck_ends_all_its_calls(house: House, ending: str) -> None:
    sandbox, plugin, [line] = await house.ready()
    running, waiting = house.call(sandbox), house.call(sandbox)
    await line.request()
    sandbox.died() if ending == "died" else sandbox.give_up("it does not answer")
    sandbox.give_up("again")

    assert sandbox.state is SandboxState.STUCK
    expected = "the plugin's process ended" if ending == "died" else "it does not answer"
    assert sandbox.trouble == expected
    assert house.changes == ["starting", f"stuck {expected}"]
    assert (running.code, running.why.repeat) == ("plugin_restarted", "unsafe")
    assert (waiting.code, waiting.why.repeat) == ("plugin_restarted", "safe")
    assert sandbox.in_flight == 0
    status, _ = await plugin.try_lane("control")
    assert status == 0


async def test_one_that_is_stuck_is_not_connected_though_its_connections_are(house: House) -> None:
    sandbox, _, _ = await house.ready()
    sandbox.give_up("it does not answer")

    assert sandbox.lanes_in_words().startswith("control 1/1, calls 1/1")
    assert not sandbox.is_connected


async def test_waiting_for_a_plugin_ends_when_it_dies(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        waits = group.create_task(sandbox.connected())
        await settle()
        sandbox.died()

    assert waits.result() is False


async def test_waiting_for_a_plugin_ends_when_its_sandbox_is_closed(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        waits = group.create_task(sandbox.connected())
        await settle()
        sandbox.close(remove_folder=True)

    assert waits.result() is False


async def test_a_plugin_that_leaves_while_it_starts_is_waited_for_again(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    line = await plugin.dial()
    line.close()
    await settle()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await sandbox.connected()
    await plugin.dial()

    assert await sandbox.connected()


async def test_drain_waits_for_what_runs_and_takes_nothing_new(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    running, waiting = house.call(sandbox), house.call(sandbox)
    await line.request()
    start = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        drain = group.create_task(sandbox.drain(grace_seconds=5.0))
        await settle()
        refused = house.call(sandbox)
        line.answer()
        await line.request()
        early = drain.done()
        line.answer()

    assert not early
    assert asyncio.get_running_loop().time() - start < 4
    assert (refused.code, refused.why.repeat) == ("plugin_not_running", "safe")
    assert refused.why.detail == "echo is draining"
    assert running.ended
    assert waiting.ended


async def test_drain_of_an_idle_plugin_takes_no_time(house: House) -> None:
    sandbox, _, _ = await house.ready()
    async with asyncio.timeout(0.5):
        await sandbox.drain(grace_seconds=60.0)

    assert sandbox.state is SandboxState.DRAINING


async def test_drain_waits_no_longer_than_its_grace(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    async with asyncio.timeout(1):
        await sandbox.drain(grace_seconds=0.05)

    assert not seen.over.is_set()


async def test_close_ends_every_call_and_connection(house: House) -> None:
    sandbox, plugin, lines = await house.ready(calls=2)
    half_open = await plugin.connect()
    running = house.call(sandbox)
    await settle()
    sandbox.close(remove_folder=True)

    assert running.code == "plugin_restarted"
    assert [await line.ended() for line in (*lines, half_open)] == [True] * 3
    assert house.call(sandbox).code == "plugin_not_running"
    assert not sandbox.is_connected
    assert not (house.folder / "echo").exists()
    with pytest.raises(FileNotFoundError):
        await plugin.connect()


async def test_nothing_is_left_of_a_closed_sandbox(house: House) -> None:
    first, _, _ = await house.ready(name="first")  # uvloop keeps a spare file from here on
    first.close(remove_folder=True)
    house.close()
    await settle()
    files, tasks = open_files(), len(asyncio.all_tasks())
    for number in range(5):
        sandbox, plugin, lines = await house.ready(calls=3, name=f"p{number}")
        await plugin.connect()
        calls: list[Seen] = [house.call(sandbox, deadline_seconds=1.0) for _ in range(5)]
        await lines[0].request()
        lines[0].answer()
        sandbox.close(remove_folder=number % 2 == 0)
        for call in calls:
            await call.outcome()
        plugin.close()
        for line in plugin.connections:
            await line.ended()
    await asyncio.sleep(0.1)

    assert open_files() == files
    assert len(asyncio.all_tasks()) == tasks
    # A folder that stays (the container is still there) has a socket that nobody listens on.
    assert sorted(path.name for path in house.folder.iterdir()) == ["p1", "p3"]
    with pytest.raises(ConnectionRefusedError):
        await Plugin(house.folder / "p1" / "plugin.sock").connect()


async def test_after_a_restart_of_the_daemon_the_plugin_dials_again(house: House) -> None:
    before, _, [line] = await house.ready()
    running = house.call(before)
    await line.request()
    before.close(remove_folder=False)

    assert running.code == "plugin_restarted"
    assert await line.ended()
    after, plugin, [again] = await house.ready()
    seen = house.call(after)
    await again.request()
    again.answer(b"back")
    assert bytes((await seen.outcome()).body) == b"back"
    assert after.is_connected
    assert not before.is_connected
    plugin.close()
