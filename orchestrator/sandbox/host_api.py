"""What stands on the two sides of a host.sock: what a plugin may do, and who its neighbours are."""

from dataclasses import dataclass
from typing import Protocol

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox.call import Call, CallFailure, Reply
from orchestrator.sandbox.callers import Callers, RunningCall
from orchestrator.sandbox.host_events import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A plugin that may be called, as far as the caller may know it."""

    plugin_id: str
    name: str
    version: str
    description: str
    running: bool
    tools: tuple[ToolInfo, ...]


class Neighbours(Protocol):
    """The other plugins: who they are, how one calls them, and what a failed call looks like."""

    @property
    def callers(self) -> Callers: ...

    async def call(
        self, plugin_id: str, call: Call, body: bytes, *, inherited: RunningCall
    ) -> Reply | CallFailure:
        """Send a call to another plugin; `inherited` is what the callee's own calls inherit."""

    async def publish(self, publication: Publication) -> str:
        """Put a plugin's event on the bus; its id."""

    def find(self, plugin_id: str) -> Callee | None:
        """None where no such plugin is deployed."""

    def failure(self, failure: CallFailure) -> tuple[int, bytes]:
        """Status and problem+json of a call that got no answer; the same for every caller."""

    def new_request_id(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGrant:
    """What one plugin may do on its host.sock."""

    plugin_id: str
    publishes: tuple[str, ...]
    callees: frozenset[str]
    """Declared dependencies, and the grant's `plugins`."""
    max_execution_seconds: float
    """The deadline of a call that no call from outside stands behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBounds:
    """The bounds of one host.sock."""

    requests_per_second: float = 50.0
    burst: int = 100
    max_connections: int = 16
    max_event_bytes: int = 65_536
    max_body_bytes: int = 16 << 20
    max_buffered_bytes: int = 32 << 20
    """Bodies of all connections together."""
    request_seconds: float = 10.0
    """From a request's first byte to the last of its head; and again to the last of its body."""
    idle_seconds: float = 60.0
