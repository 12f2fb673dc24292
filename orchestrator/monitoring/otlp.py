"""OtlpExporter: calls as OpenTelemetry's spans, sent by OTLP over HTTP. The extra `otel`.

Imported by whoever was told to keep traces, and by nobody else. The exporter reads the rest of its
settings (headers, certificates, timeout) from OpenTelemetry's own variables.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from orchestrator.monitoring.tracing import TracedCall
from orchestrator.sandbox.observer import CALLERS_FAULT, OK
from orchestrator.version import CORE_VERSION

_CALL, _QUEUE = 1, 2
"""What tells the ids of a call's spans apart from the plugin's, whose id travels."""
_NANO: Final = 1_000_000_000
_TIMEOUT_SECONDS: Final = 5


class OtlpExporter:
    """A SpanExporter."""

    def __init__(self, endpoint: str, *, service: str, instance: str) -> None:
        self._resource = Resource.create(
            {
                "service.name": service,
                "service.version": CORE_VERSION,
                "service.instance.id": instance,
            }
        )
        self._scope = InstrumentationScope("orchestrator", CORE_VERSION)
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT_SECONDS)
        # It writes a traceback for each batch that does not arrive; we say it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def send(self, calls: Sequence[TracedCall]) -> bool:
        spans = [span for call in calls for span in self._spans(call)]
        with contextlib.suppress(Exception):  # whatever a collector makes it raise
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        return False

    def _spans(self, call: TracedCall) -> Iterator[ReadableSpan]:
        """The call; in it the time in the queue, and the plugin's own."""
        end = int(call.ended_at * _NANO)
        begin = end - int(call.seconds * _NANO)
        assigned = begin + int(call.waited * _NANO)
        call_id = call.span_id ^ _CALL
        yield self._span(
            f"call {call.plugin_id}", call, (call_id, call.parent_id), (begin, end), SpanKind.SERVER
        )
        yield self._span(
            "queue", call, (call.span_id ^ _QUEUE, call_id), (begin, assigned), SpanKind.INTERNAL
        )
        if assigned < end:
            yield self._span(
                f"plugin {call.plugin_id}",
                call,
                (call.span_id, call_id),
                (assigned, end),
                SpanKind.CLIENT,
            )

    def _span(
        self,
        name: str,
        call: TracedCall,
        ids: tuple[int, int],
        times: tuple[int, int],
        kind: SpanKind,
    ) -> ReadableSpan:
        well = call.outcome == OK or call.outcome in CALLERS_FAULT
        ours = kind is SpanKind.INTERNAL or well
        return ReadableSpan(
            name=name,
            context=_context(call.trace_id, ids[0], is_remote=False),
            parent=_context(call.trace_id, ids[1], is_remote=True) if ids[1] else None,
            resource=self._resource,
            attributes={
                "orchestrator.plugin": call.plugin_id,
                "orchestrator.tool": call.tool,
                "orchestrator.caller": call.caller,
                "orchestrator.request_id": call.request_id,
                "orchestrator.outcome": call.outcome,
            },
            kind=kind,
            instrumentation_scope=self._scope,
            status=Status(StatusCode.UNSET if ours else StatusCode.ERROR),
            start_time=times[0],
            end_time=times[1],
        )


def _context(trace_id: int, span_id: int, *, is_remote: bool) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))
