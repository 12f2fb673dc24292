"""Look-ups: a name server that never answers holds up who asked, and nobody else."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from orchestrator.sandbox.lookup import LookUps, look_up


async def test_names_that_are_never_answered_hold_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *more: Any, **named: Any) -> Any:
        if host.startswith("tar"):
            over.wait(30)
        return real("127.0.0.1", *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            stuck = [group.create_task(look_up(f"tar{n}.test", 80)) for n in range(40)]
            assert await look_up("other.test", 80) == ["127.0.0.1"]
            for task in stuck:
                task.cancel()
    finally:
        over.set()


async def test_a_name_that_is_none_is_an_error_of_the_networks() -> None:
    with pytest.raises(OSError, match=r".+"):
        await look_up("a" * 64 + ".test", 80)


async def test_one_that_nobody_waits_for_keeps_its_place_until_it_ends() -> None:
    look_ups, held = LookUps(2), [asyncio.get_running_loop().create_future() for _ in range(3)]
    begun: list[int] = []

    async def ask(number: int) -> None:
        def begin() -> Any:
            begun.append(number)
            return held[number]

        await look_ups.run(begin)

    for number in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ask(number)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask(2)
    assert begun == [0, 1]

    held[0].set_exception(OSError("too late"))
    held[2].set_result(())
    await ask(2)

    assert begun == [0, 1, 2]
