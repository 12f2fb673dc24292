"""Watch: tells what follows from how plugins do, once for each change.

The loop acts on containers; this looks at plugins. It publishes that one is degraded, has recovered
or was given up, and keeps the last words of those that failed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import JsonValue

from orchestrator.engine.base import Engine, Probe
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.fleet import LAST_WORDS, Fleet
from orchestrator.manager.last_words import Listener
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.members import GAVE_UP
from orchestrator.manager.secrets import SecretReader
from orchestrator.manager.statuses import statuses
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.status import LastWords, PluginState, PluginStatus, SubState
from orchestrator.store.base import Record, StoreUnavailable

_FAILURES: Final = frozenset(
    {EventName.PLUGIN_DIED, EventName.PLUGIN_START_FAILED, EventName.PLUGIN_VANISHED}
)


class Watch:
    """Level-triggered: it looks at all of it after each pass of the loop, and compares."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        bus: PluginEventBus,
        listener: Listener,
        passed: Callable[[], Awaitable[None]],
    ) -> None:
        self._fleet = fleet
        self._bus = bus
        self._listener = listener
        self._passed = passed
        self._woken = asyncio.Event()
        self._failed: set[str] = set()
        self._amiss: dict[str, tuple[str, ...]] = {}
        """Plugin → what was published to make it degraded."""
        self._given_up: set[str] = set()
        self._unfit: set[str] = set()
        self._restore()
        bus.listen(self._hear)

    async def run(self) -> None:
        """For ever, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._count_passes())
            while True:
                await self.look()
                await self._woken.wait()
                self._woken.clear()

    async def look(self) -> None:
        """Once over all plugins."""
        failed, self._failed = self._failed, set()
        for plugin_id in sorted(failed):
            self._fleet.last_words[plugin_id] = await self._listener.last_words(plugin_id)
            self._keep(plugin_id)
        for plugin_id in self._forgiven():
            self._forget(plugin_id)
        for row in statuses(self._fleet):
            self._tell_if_unfit(row)
            self._tell_if_amiss(row)
            self._tell_if_given_up(row)

    # -------------------------------------------------------------------------------------------

    def _hear(self, event: PluginEvent) -> None:
        if event.type in _FAILURES:
            self._failed.add(event.subject)

    async def _count_passes(self) -> None:
        """A pass that ends while we look brings another look."""
        while True:
            await self._passed()
            self._woken.set()

    def _tell_if_amiss(self, row: PluginStatus) -> None:
        if row.status is not PluginState.ACTIVE:
            self._amiss.pop(row.plugin_id, None)  # other events tell of that
            return
        if row.sub_state not in {SubState.RUNNING, SubState.DEGRADED}:
            return
        if row.causes == self._amiss.get(row.plugin_id, ()):
            return
        data: dict[str, JsonValue] = {"detail": row.detail, "causes": [*row.causes]}
        if row.causes:
            self._amiss[row.plugin_id] = row.causes
            self._bus.publish(EventName.PLUGIN_DEGRADED, row.plugin_id, data)
        else:
            self._amiss.pop(row.plugin_id, None)
            self._bus.publish(EventName.PLUGIN_RECOVERED, row.plugin_id, {"detail": row.detail})

    def _tell_if_unfit(self, row: PluginStatus) -> None:
        if row.sub_state is not SubState.UNFIT:
            self._unfit.discard(row.plugin_id)
        elif row.plugin_id not in self._unfit:
            self._unfit.add(row.plugin_id)
            self._bus.publish(EventName.PLUGIN_UNFIT, row.plugin_id, {"detail": row.detail})

    def _tell_if_given_up(self, row: PluginStatus) -> None:
        known = row.plugin_id in self._fleet.deployments
        if row.plugin_id in self._given_up or not (known and self._fleet.gave_up(row.plugin_id)):
            return
        words = self._fleet.last_words.get(row.plugin_id, LastWords())
        data: dict[str, JsonValue] = {
            "detail": GAVE_UP,
            "reason": row.reason,
            "repairs": [*words.repairs],
        }
        self._bus.publish(EventName.PLUGIN_GAVE_UP, row.plugin_id, data)
        self._given_up.add(row.plugin_id)
        self._keep(row.plugin_id)

    # -- what outlives the daemon ---------------------------------------------------------------

    def _forgiven(self) -> list[str]:
        known = self._fleet.last_words.keys() | self._given_up
        return sorted(name for name in known if not self._fleet.plugin_history(name).reason)

    def _forget(self, plugin_id: str) -> None:
        self._fleet.last_words.pop(plugin_id, None)
        self._given_up.discard(plugin_id)
        self._put(plugin_id, None)

    def _keep(self, plugin_id: str) -> None:
        words = self._fleet.last_words.get(plugin_id, LastWords())
        record: dict[str, JsonValue] = {
            "lines": [*words.lines],
            "hints": [*words.hints],
            "repairs": [*words.repairs],
            "gave_up": plugin_id in self._given_up,
        }
        self._put(plugin_id, record)

    def _put(self, plugin_id: str, record: Record | None) -> None:
        """What cannot be written is known in memory; the fleet tells of the trouble."""
        with contextlib.suppress(StoreUnavailable):
            self._fleet.store.put_all(LAST_WORDS, {plugin_id: record})

    def _restore(self) -> None:
        for plugin_id, record in self._fleet.store.load(LAST_WORDS).items():
            self._fleet.last_words[plugin_id] = LastWords(
                lines=_texts(record, "lines"),
                hints=_texts(record, "hints"),
                repairs=_texts(record, "repairs"),
            )
            if record.get("gave_up") is True:
                self._given_up.add(plugin_id)


def _texts(record: Record, name: str) -> tuple[str, ...]:
    found = record.get(name)
    return tuple(map(str, found)) if isinstance(found, list) else ()


def plugin_watch(
    manager: PluginManager,
    engine: Engine,
    probe: Probe,
    bus: PluginEventBus,
    secrets: SecretReader,
) -> Watch:
    """Of a manager that took up what an earlier daemon knew."""
    listener = Listener(
        fleet=manager.fleet,
        engine=engine,
        probe=probe,
        secrets=secrets,
    )
    return Watch(fleet=manager.fleet, bus=bus, listener=listener, passed=manager.loop.passed)
