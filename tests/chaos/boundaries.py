"""Boundaries: the moments before and after everything that a daemon changes outside of itself.

Those are the verbs of the engine, the networks, the volumes and the images that change something,
and each write to the store. Between two of them a kill finds the same world as at either, so
killing at each is killing anywhere. What a clock writes (the audit's anchor, the meters) is no
step of a scenario and is not counted.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from orchestrator.store.base import Record
from orchestrator.store.sqlite import SqliteStore

VERBS: Final = {
    *("create", "start", "stop", "remove", "set_cpu"),  # containers
    *("pause", "unpause"),  # of those that sleep
    *("set_limits", "rename", "leave"),  # of those that somebody changed
    *("connect", "disconnect"),  # networks
    *("ensure", "write"),  # volumes
    *("pull", "build", "import_root", "tag"),  # images
}
READING: Final = {
    *("list", "inspect", "events", "logs", "info"),
    *("find", "read_file", "labels", "best", "read"),
}
"""The verbs that change nothing."""
CLOCKWORK: Final = {"audit", "meter", "network", "checkpoint"}
"""Kinds of records that are written from time to time, whatever happens."""


class Killed(BaseException):
    """What a held daemon's deed meets: nothing of it is done, and nobody catches it."""


class Boundaries:
    """Counts them, and holds the daemon fast at the one that is armed."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        """What was done since `arm`, in words."""
        self._at = 0
        self._before = True
        self._killed = asyncio.Event()
        self._held = False

    def arm(self, at: int, *, before: bool) -> asyncio.Event:
        """Set when the daemon comes to its boundary `at`, from 1, and is held there; 0: never."""
        self.passed, self._at, self._before = [], at, before
        self._killed = asyncio.Event()
        return self._killed

    def hold(self) -> None:
        """Nothing is done any more."""
        self._held = True

    def release(self) -> None:
        """For the next daemon."""
        self._held, self._at = False, 0

    async def around(self, words: str, do: Callable[[], Any]) -> Any:
        if self._held:
            raise Killed  # not to wait: what is shielded is thrown away by nobody
        here = self._comes_to(words)
        if here and self._before:
            await self._stop()
        result = await do()
        if here or self._held:
            await self._stop()
        return result

    def around_write(self, words: str, do: Callable[[], None]) -> None:
        if self._held:
            raise Killed
        here = self._comes_to(words)
        if here and self._before:
            self._die()
        do()
        if here:
            self._die()

    def watch_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put_all = SqliteStore.put_all

        def watched(store: SqliteStore, kind: str, records: Mapping[str, Record | None]) -> None:
            if kind in CLOCKWORK or not records:
                if not self._held:
                    put_all(store, kind, records)
                return
            names = ", ".join(sorted(records))
            self.around_write(f"write {kind} {names}", lambda: put_all(store, kind, records))

        monkeypatch.setattr(SqliteStore, "put_all", watched)

    def _comes_to(self, words: str) -> bool:
        self.passed.append(words)
        return len(self.passed) == self._at

    async def _stop(self) -> None:
        self._die()

    def _die(self) -> None:
        self.hold()
        self._killed.set()
        raise Killed


class Wrapped:
    """A backend whose changing verbs are boundaries; all else goes through."""

    def __init__(self, backend: Any, boundaries: Boundaries) -> None:
        self._backend = backend
        self._boundaries = boundaries

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._backend, name)
        if name not in VERBS:
            return attribute

        async def watched(*arguments: Any, **named: Any) -> Any:
            which = named.get("name") or next((a for a in arguments if isinstance(a, str)), "")
            words = f"{type(self._backend).__name__}.{name} {which}"
            return await self._boundaries.around(words, lambda: attribute(*arguments, **named))

        return watched
