"""Looking names up with the system's resolver, each in a thread of its own.

The system's resolver blocks, for as long as the name's own server likes. Loops of asyncio share a
few threads for it: two plugins whose servers never answer would hold up the look-ups of all others,
and the daemon's end. A thread of its own costs tens of microseconds; who asks bounds their number.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name. Raises OSError. A cancelled wait leaves the thread behind."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def tell(act: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if answer.done() else act())

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            tell(partial(answer.set_exception, error))
        except UnicodeError as error:
            tell(partial(answer.set_exception, OSError(str(error))))
        else:
            tell(partial(answer.set_result, [str(sockaddr[0]) for *_, sockaddr in found]))

    try:
        threading.Thread(target=ask, name="look-up", daemon=True).start()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return await answer


class LookUps:
    """At most so many at a time; one that nobody waits for any more counts until it ends."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._running: set[asyncio.Future[Sequence[str]]] = set()

    async def run(self, resolve: Callable[[], "asyncio.Future[Sequence[str]]"]) -> Sequence[str]:
        """Wait for a place, and for what `resolve` begins then."""
        await self._free.acquire()
        running = resolve()
        self._running.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: "asyncio.Future[Sequence[str]]") -> None:
        self._running.discard(running)
        self._free.release()
        if not running.cancelled():
            running.exception()  # seen, also where nobody waits
