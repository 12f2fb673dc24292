"""Tracing: spans of calls for OpenTelemetry, kept on the call path as a few numbers each.

A call gets the id of its span before the plugin sees it, so that the plugin's own spans hang below
it; the spans are made and sent afterwards, in batches, by a thread. Where nobody wants traces none
of this is there. A collector that is away costs spans, which are counted, and nothing else.
"""

import asyncio
import logging
import random
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from orchestrator.clock import Clock
from orchestrator.sandbox.call import ROOT, Call

MAX_WAITING: Final = 8_192
BATCH: Final = 512
SEND_SECONDS: Final = 1.0
LAST_SECONDS: Final = 2.0
"""For what waits when the daemon ends."""
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1
_TRACE_BITS, _SPAN_BITS = 128, 64
_LOG = logging.getLogger("orchestrator.traces")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCall:
    """One call that ended; `span_id` is what the plugin was told."""

    trace_id: int
    span_id: int
    parent_id: int
    """0: the trace begins here."""
    plugin_id: str
    tool: str
    caller: str
    request_id: str
    outcome: str
    ended_at: float
    """Seconds since the epoch."""
    seconds: float
    waited: float


class SpanExporter(Protocol):
    """Makes spans of calls and sends them. Blocks."""

    def send(self, calls: Sequence[TracedCall]) -> bool:
        """Whether they arrived."""


class Tracing:
    """`begin` and `ended` are on the call path; `run` sends."""

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        clock: Clock,
        ratio: float = 1.0,
        bits: Callable[[int], int] = random.getrandbits,
    ) -> None:
        """`ratio` is how many of the traces that begin here are kept; others' word is theirs."""
        self.lost = 0
        """Spans of calls that were never sent."""
        self._exporter = exporter
        self._clock = clock
        self._kept_below = int(ratio * (1 << _SPAN_BITS))
        self._bits = bits
        self._waiting: deque[TracedCall] = deque()
        self._trouble = False

    def begin(self, call: Call) -> Call:
        """The call with a span of its own; the caller's trace goes on, or a new one begins."""
        match = _TRACEPARENT.fullmatch(call.traceparent)
        span_id = self._bits(_SPAN_BITS) or 1
        if match is not None and int(match[2], 16) and int(match[3], 16):
            traceparent = f"00-{match[2]}-{span_id:016x}-{match[4]}"
            return replace(call, traceparent=traceparent, parent=call.traceparent)
        trace_id = self._bits(_TRACE_BITS) or 1
        kept = trace_id & ((1 << _SPAN_BITS) - 1) < self._kept_below
        traceparent = f"00-{trace_id:032x}-{span_id:016x}-{'01' if kept else '00'}"
        return replace(call, traceparent=traceparent, parent=ROOT)

    def ended(
        self, plugin_id: str, call: Call, outcome: str, seconds: float, waited: float
    ) -> None:
        """What a CallRecorder tells."""
        match = _TRACEPARENT.fullmatch(call.traceparent)
        if match is None or not call.parent or not int(match[4], 16) & _SAMPLED:
            return  # it was never begun, or whoever began the trace keeps none of it
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        parent = _TRACEPARENT.fullmatch(call.parent)
        self._waiting.append(
            TracedCall(
                trace_id=int(match[2], 16),
                span_id=int(match[3], 16),
                parent_id=int(parent[3], 16) if parent is not None else 0,
                plugin_id=plugin_id,
                tool=call.tool,
                caller=call.caller,
                request_id=call.request_id,
                outcome=str(outcome),
                ended_at=self._clock.now(),
                seconds=seconds,
                waited=waited,
            )
        )

    async def run(self) -> None:
        """For ever, until cancelled; what waits then is sent if that is quick."""
        try:
            while True:
                await asyncio.sleep(SEND_SECONDS)
                await self.send()
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(LAST_SECONDS):
                    await self.send()
            except TimeoutError:
                self.lost += len(self._waiting)
            raise

    async def send(self) -> None:
        """All that waits."""
        while self._waiting:
            count = min(BATCH, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            arrived = await asyncio.to_thread(self._exporter.send, batch)
            if not arrived:
                self.lost += count
            self._tell(arrived=arrived)

    def _tell(self, *, arrived: bool) -> None:
        """Once for each time that the collector goes and comes."""
        if not arrived and not self._trouble:
            _LOG.warning("traces could not be sent; calls are not affected")
        elif arrived and self._trouble:
            _LOG.warning("traces are sent again; %d calls have none", self.lost)
        self._trouble = not arrived
