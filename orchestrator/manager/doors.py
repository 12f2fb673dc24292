"""Doors: which container takes a plugin's next call, and where a call waits until there is one."""

from collections.abc import Callable
from typing import Final

from orchestrator.clock import Clock
from orchestrator.manager.fleet import Fleet
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.desk import Desk
from orchestrator.sandbox.lobby import Lobby
from orchestrator.sandbox.observer import CallObserver, CallWatch, NobodyWatches
from orchestrator.sandbox.sandbox import PluginSandbox

CLOSING: Final = "the daemon ends"


class Doors:
    """Asked for every call, so it looks nothing up that the loop can prepare."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        wheel: DeadlineWheel,
        clock: Clock,
        observer: CallObserver | None = None,
    ) -> None:
        self.observer = observer or NobodyWatches()
        """Told of every call that came to a door."""
        self._fleet = fleet
        self._wheel = wheel
        self._clock = clock
        self.wake: Callable[[], None] = lambda: None
        """Told of a call that waits; the loop's own, once there is one."""
        self._lobbies: dict[str, Lobby] = {}
        self._closed = False

    def door(self, plugin_id: str) -> PluginSandbox | Lobby | None:
        """What takes a call now; None if nothing will soon."""
        sandbox = self._fleet.sandbox(plugin_id)
        if sandbox is not None:
            return sandbox
        if self._closed or not self._fleet.is_expected(plugin_id):
            return None
        lobby = self._lobbies.get(plugin_id)
        if lobby is None:
            lobby = self._lobbies[plugin_id] = self._lobby(plugin_id)
        return lobby

    def watch(self, plugin_id: str) -> CallWatch:
        """Through which the calls of one plugin are told."""
        return CallWatch(
            plugin_id=plugin_id, observer=self.observer, monotonic=self._clock.monotonic
        )

    def waiting(self, plugin_id: str) -> int:
        """Calls that wait until the plugin is there."""
        return len(self._lobbies.get(plugin_id, ()))

    def settle(self) -> None:
        """After each pass: let in those whose plugin is there, send away those of which none is."""
        for plugin_id, lobby in list(self._lobbies.items()):
            lobby.admit(lambda plugin_id=plugin_id: self._fleet.sandbox(plugin_id))  # type: ignore[misc]
            if not self._fleet.is_expected(plugin_id):
                lobby.fail_all(f"{plugin_id} {self._fleet.waiting.get(plugin_id, 'did not start')}")
            if not len(lobby):
                del self._lobbies[plugin_id]

    def close(self) -> None:
        """Nothing starts any more: the daemon ends."""
        self._closed = True
        for lobby in self._lobbies.values():
            lobby.fail_all(CLOSING)
        self._lobbies.clear()

    def _lobby(self, plugin_id: str) -> Lobby:
        deployment = self._fleet.deployments[plugin_id]
        calls = self._fleet.policy.calls

        def arrived() -> None:
            self._fleet.touch(plugin_id)
            self.wake()

        return Lobby(
            desk=Desk(
                info=deployment.inputs.info,
                limits=deployment.grant.limits,
                calls=calls,
                watch=self.watch(plugin_id),
            ),
            max_queue=calls.max_queue,
            wheel=self._wheel,
            monotonic=self._clock.monotonic,
            on_arrival=arrived,
        )
