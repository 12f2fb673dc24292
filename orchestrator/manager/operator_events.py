"""OperatorEvents: an operator publishes events, and replays or discards dead letters."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.events.desk import EventDesk
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.manager import PluginManager
from orchestrator.sandbox.host_events import RESERVED
from orchestrator.store.event_values import DeadLetter


class EventTypeReserved(OrchestratorError):
    """Whoever hears an event of the orchestrator may trust that it is one."""

    kind, code = Kind.DENIED, "event_type_reserved"


class OperatorEvents:
    """What changes anything is in the audit log, with who did it."""

    def __init__(self, *, manager: PluginManager, desk: EventDesk, clerk: Clerk) -> None:
        self.desk = desk
        self._manager = manager
        self._clerk = clerk

    async def publish(
        self, event_type: str, *, subject: str, data: Mapping[str, JsonValue], who: str
    ) -> str:
        """The event's id, once it is on disk. Raises EventTypeReserved, EventsFull."""
        words = f"events publish {event_type}"
        try:
            if event_type.startswith(RESERVED):
                raise EventTypeReserved(
                    f"TYPE: found {event_type}, expected one that does not begin with {RESERVED}"
                )
            event = await self._manager.route_event(
                self._manager.bus.event(
                    event_type,
                    source=f"operator/{who.replace(' ', '-')}",
                    subject=subject,
                    data=data,
                )
            )
        except OrchestratorError as error:
            self._clerk.refusal(words, error)
            raise
        self._clerk.command(words, {"event_id": event.event_id, "subject": subject, "who": who})
        return event.event_id

    async def dead(self, plugin_id: str, *, count: int) -> list[DeadLetter]:
        """The latest dead letters, of one plugin or (empty) of all; of one that is gone, too.

        Raises PluginNotFound for one that neither is deployed nor has any.
        """
        letters = await self.desk.dead(plugin_id, count=count)
        if plugin_id and not letters:
            self._manager.deployment(plugin_id)
        return letters

    async def discard(
        self, event_ids: Sequence[str], plugin_id: str, *, who: str
    ) -> dict[str, int]:
        """Forget dead letters: of these events, of one plugin or (both empty) of all.

        Raises PluginNotFound, DeadLetterNotFound.
        """
        await self.dead(plugin_id, count=1)
        discarded = await self.desk.discard(plugin_id, event_ids)
        counts: dict[str, JsonValue] = {**discarded}
        words = f"events discard {_chosen(event_ids, plugin_id)}"
        self._clerk.command(words, {"discarded": counts, "who": who})
        return discarded

    async def replay(self, event_ids: Sequence[str], plugin_id: str, *, who: str) -> dict[str, int]:
        """Deliver dead letters anew: of these events, of one plugin or (both empty) of all.

        Raises PluginNotFound, DeadLetterNotFound.
        """
        if plugin_id:
            self._manager.deployment(plugin_id)
        names = [plugin_id] if plugin_id else list(self._manager.fleet.deployments)
        replayed = await self.desk.replay(names, event_ids)
        counts: dict[str, JsonValue] = {**replayed}
        words = f"events replay {_chosen(event_ids, plugin_id)}"
        self._clerk.command(words, {"replayed": counts, "who": who})
        return replayed


def _chosen(event_ids: Sequence[str], plugin_id: str) -> str:
    return " ".join(event_ids) or (f"--plugin {plugin_id}" if plugin_id else "--all")
