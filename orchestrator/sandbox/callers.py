"""CallLedger: which plugin serves which call now, so that calls made on its behalf inherit from it.

Deadline, depth and chain travel with the call and are the host's own knowledge: a plugin only
names the call that it is serving, and one that is not served by it counts for nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from orchestrator.sandbox.broker import RefusalCode, Refused

MAX_DEPTH: Final = 8
"""Plugins that call one another for one call from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCall:
    """What a call made on behalf of a running one inherits."""

    deadline_seconds: float
    """From now."""
    depth: int
    """How many plugins called one another before; 0 for a call from outside."""
    chain: tuple[str, ...]
    """The plugins that wait for it, the outermost first; not the one that serves it."""
    traceparent: str = ""
    """Of the call that is served, for a plugin that passes on none."""


class Callers(Protocol):
    """Who knows the calls that run."""

    def running(self, plugin_id: str, *, request_id: str, traceparent: str) -> RunningCall | None:
        """The call that `plugin_id` serves under that id or, without an id, in that trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    plugin_id: str
    request_id: str
    trace_id: str
    traceparent: str
    ends_at: float
    depth: int
    chain: tuple[str, ...]


class CallLedger:
    """The calls of all plugins. `now` is monotonic."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._entries: dict[str, dict[int, _Entry]] = {}
        self._tokens = 0

    def enter(
        self,
        plugin_id: str,
        *,
        request_id: str,
        traceparent: str,
        deadline_seconds: float,
        depth: int = 0,
        chain: tuple[str, ...] = (),
    ) -> Callable[[], None]:
        """`plugin_id` serves this call from now on, until what is returned is called."""
        self._tokens += 1
        token = self._tokens
        mine = self._entries.setdefault(plugin_id, {})
        mine[token] = _Entry(
            plugin_id=plugin_id,
            request_id=request_id,
            trace_id=trace_id(traceparent),
            traceparent=traceparent,
            ends_at=self._now() + deadline_seconds,
            depth=depth,
            chain=chain,
        )

        def leave() -> None:
            mine.pop(token, None)
            if not mine and self._entries.get(plugin_id) is mine:
                del self._entries[plugin_id]

        return leave

    @contextmanager
    def serving(
        self,
        plugin_id: str,
        *,
        request_id: str,
        traceparent: str,
        deadline_seconds: float,
        depth: int,
        chain: tuple[str, ...],
    ) -> Iterator[None]:
        """The same for as long as the block lasts."""
        leave = self.enter(
            plugin_id,
            request_id=request_id,
            traceparent=traceparent,
            deadline_seconds=deadline_seconds,
            depth=depth,
            chain=chain,
        )
        try:
            yield
        finally:
            leave()

    def running(self, plugin_id: str, *, request_id: str, traceparent: str) -> RunningCall | None:
        """Where several fit (ids are their callers' choice), what binds most of each of them."""
        trace = trace_id(traceparent)
        fitting = [
            entry
            for entry in self._entries.get(plugin_id, {}).values()
            if (entry.request_id == request_id if request_id else trace and entry.trace_id == trace)
        ]
        if not fitting:
            return None
        return RunningCall(
            deadline_seconds=max(0.0, min(entry.ends_at for entry in fitting) - self._now()),
            depth=max(entry.depth for entry in fitting),
            chain=tuple(dict.fromkeys(name for entry in fitting for name in entry.chain)),
            traceparent=fitting[-1].traceparent,
        )


def trace_id(traceparent: str) -> str:
    """The trace of a W3C `traceparent`: spans differ from hop to hop, the trace does not."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 else ""  # noqa: PLR2004 - version, trace, span, flags


def check_callee(caller: str, callee: str, callees: frozenset[str]) -> None:
    """Raises Refused for a call that the grant does not reach."""
    if callee == caller:
        raise _refused(RefusalCode.CALL_CYCLE, callee, f"found a call of {caller} to itself")
    if callee not in callees:
        known = ", ".join(sorted(callees)) or "none"
        raise _refused(
            RefusalCode.CALL_NOT_ALLOWED,
            callee,
            f"found a call to {callee}, expected a declared dependency or a plugin that the "
            f"manifest allows: {known}",
        )


def inherit(caller: str, callee: str, served: RunningCall) -> RunningCall:
    """What a call made while `served` runs passes on. Raises Refused where there must be none."""
    if callee in served.chain:
        way = " → ".join((*served.chain, caller, callee))
        raise _refused(
            RefusalCode.CALL_CYCLE, callee, f"found a call back to a plugin that waits: {way}"
        )
    if served.depth >= MAX_DEPTH:
        raise _refused(
            RefusalCode.CALL_TOO_DEEP,
            callee,
            f"found a call at depth {served.depth + 1}, expected at most {MAX_DEPTH}",
        )
    if served.deadline_seconds <= 0:
        raise _refused(
            RefusalCode.DEADLINE_EXCEEDED, callee, "found no time left of the call that is served"
        )
    return RunningCall(
        deadline_seconds=served.deadline_seconds,
        depth=served.depth + 1,
        chain=(*served.chain, caller),
        traceparent=served.traceparent,
    )


def _refused(code: RefusalCode, callee: str, detail: str) -> Refused:
    return Refused(code, detail, evidence={"callee": callee})
