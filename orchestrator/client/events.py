"""EventsClient: what the daemon's API says of events, beside the rest of it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from orchestrator.client.client import DEFAULT_SECONDS, DaemonClient


class EventsClient(DaemonClient):
    """A DaemonClient that publishes and follows events. All raise DaemonProblem."""

    def publish_event(
        self, event_type: str, *, subject: str, data: dict[str, Any], who: str
    ) -> str:
        """The event's id, once it is on the daemon's disk (events_full: try again later)."""
        wish = {"type": event_type, "subject": subject, "data": data, "who": who}
        answer: dict[str, str] = self._json("POST", "/v1/events", wish)
        return answer["event_id"]

    def tail_events(
        self, *, event_type: str, plugin: str, count: int, follow: bool
    ) -> Iterator[dict[str, Any]]:
        """The latest events, oldest first; with `follow` what comes, until the daemon ends."""
        query = urlencode({"type": event_type, "plugin": plugin, "count": count})
        if not follow:
            yield from self._json("GET", f"/v1/events?{query}")
            return
        connection = self._open(DEFAULT_SECONDS)
        try:
            response = self._send(connection, "GET", f"/v1/events/stream?{query}", None, {})
            if connection.sock is not None:
                connection.sock.settimeout(None)  # the next event may be days away
            yield from self._lines(response)
        finally:
            connection.close()

    def dead_events(self, *, plugin: str, count: int) -> list[dict[str, Any]]:
        """The latest deliveries that were given up, oldest first."""
        query = urlencode({"plugin": plugin, "count": count})
        answer: list[dict[str, Any]] = self._json("GET", f"/v1/events/dead?{query}")
        return answer

    def replay_events(
        self, event_ids: list[str], *, plugin: str, every: bool, who: str
    ) -> dict[str, int]:
        """Deliver dead letters anew; how many, by plugin (dead_letter_not_found)."""
        wish = {"ids": event_ids, "plugin": plugin, "all": every, "who": who}
        answer: dict[str, dict[str, int]] = self._json("POST", "/v1/events/replay", wish)
        return answer["replayed"]

    def discard_events(
        self, event_ids: list[str], *, plugin: str, every: bool, who: str
    ) -> dict[str, int]:
        """Forget dead letters; how many, by plugin (dead_letter_not_found, plugin_not_found)."""
        wish = {"ids": event_ids, "plugin": plugin, "all": every, "who": who}
        answer: dict[str, dict[str, int]] = self._json("POST", "/v1/events/discard", wish)
        return answer["discarded"]
