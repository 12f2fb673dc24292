"""Traces: what a call is given, what is kept of it, and what a collector gets over OTLP."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orchestrator.clock import SystemClock
from orchestrator.daemon.settings import TraceSettings
from orchestrator.monitoring import tracing
from orchestrator.monitoring.otlp import OtlpExporter
from orchestrator.monitoring.tracing import MAX_WAITING, TracedCall, Tracing
from orchestrator.sandbox.call import ROOT, Call, Reply
from orchestrator.sandbox.desk import invoke
from tests.chaos.paper_house import PaperHouse

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def call(traceparent: str = "", **fields: Any) -> Call:
    return Call(request_id="r1", deadline_seconds=5.0, traceparent=traceparent, **fields)


@dataclass
class Shelf:
    """A SpanExporter."""

    arrives: bool = True
    calls: list[TracedCall] = field(default_factory=list)

    def send(self, calls: Sequence[TracedCall]) -> bool:
        if self.arrives:
            self.calls += calls
        return self.arrives


def traced(shelf: Shelf, **settings: Any) -> Tracing:
    return Tracing(shelf, clock=SystemClock(), **settings)


# -- what a call is given -----------------------------------------------------------------------


def test_a_callers_trace_goes_on_under_a_span_of_our_own() -> None:
    begun = traced(Shelf()).begin(call(PARENT))
    version, trace_id, span_id, flags = begun.traceparent.split("-")

    assert (version, trace_id, flags, begun.parent) == ("00", TRACE, "01", PARENT)
    assert len(span_id) == 16
    assert span_id != "b7ad6b7169203331"


@pytest.mark.parametrize(
    "traceparent",
    ["", "00-1", f"00-{TRACE.upper()}-b7ad6b7169203331-01", f"00-{'0' * 32}-b7ad6b7169203331-01"],
)
def test_without_a_well_formed_one_a_trace_begins(traceparent: str) -> None:
    first, second = (traced(Shelf()).begin(call(traceparent)) for _ in range(2))

    assert first.parent == second.parent == ROOT
    assert first.traceparent.split("-")[1] != second.traceparent.split("-")[1]
    assert first.traceparent.endswith("-01")


@pytest.mark.parametrize(
    ("ratio", "least", "most"), [(0.0, 0, 0), (0.25, 150, 350), (1.0, 1000, 1000)]
)
def test_so_many_of_those_that_begin_here_are_kept(ratio: float, least: int, most: int) -> None:
    made = traced(Shelf(), ratio=ratio)
    kept = sum(made.begin(call()).traceparent.endswith("-01") for _ in range(1_000))

    assert least <= kept <= most


# -- what is kept -------------------------------------------------------------------------------


async def test_who_began_a_trace_says_whether_it_is_kept() -> None:
    shelf = Shelf()
    made = traced(shelf, ratio=0.0)
    for flags in ("00", "01"):
        begun = made.begin(call(f"00-{TRACE}-b7ad6b7169203331-{flags}"))
        made.ended("notes", begun, "ok", 0.5, 0.1)
    made.ended("notes", call(PARENT), "plugin_not_running", 0.0, 0.0)  # never begun
    await made.send()

    [kept] = shelf.calls
    assert (kept.trace_id, kept.parent_id) == (int(TRACE, 16), 0xB7AD6B7169203331)
    assert (kept.seconds, kept.waited) == (0.5, 0.1)


async def test_a_collector_that_is_away_costs_spans_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf(arrives=False)
    made = traced(shelf)
    begun = made.begin(call())
    for _ in range(MAX_WAITING + 10):
        made.ended("notes", begun, "ok", 0.1, 0.0)
    assert made.lost == 10
    await made.send()
    assert made.lost == MAX_WAITING + 10
    shelf.arrives = True
    made.ended("notes", begun, "ok", 0.1, 0.0)
    await made.send()

    assert len(shelf.calls) == 1
    words = [record.getMessage() for record in caplog.records]
    assert words == [
        "traces could not be sent; calls are not affected",
        f"traces are sent again; {MAX_WAITING + 10} calls have none",
    ]


async def test_what_waits_at_the_end_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "SEND_SECONDS", 60.0)
    shelf = Shelf()
    made = traced(shelf)
    made.ended("notes", made.begin(call()), "ok", 0.1, 0.0)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.run())
        await asyncio.sleep(0.01)
        running.cancel()

    assert len(shelf.calls) == 1


# -- over the wire ------------------------------------------------------------------------------


class Collector:
    """An OTLP receiver."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.paths: set[str] = set()
        self.status = 200
        mine = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                mine.take(self.path, body)
                self.send_response(mine.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        request = ExportTraceServiceRequest.FromString(body)
        for each in request.resource_spans:
            self.resources.append(attributes(each.resource.attributes))
            for scope in each.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> Any:
        [found] = [span for span in self.spans if span.name == name]
        return found


def attributes(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


async def test_a_call_is_a_server_span_with_the_queue_and_the_plugin_in_it(
    collector: Collector, house: PaperHouse
) -> None:
    settings = TraceSettings(endpoint=collector.endpoint, service="agents")
    house.settings = replace(house.settings, traces=settings)
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        door: Any = house.daemon.gate.route("notes")
        made = call(PARENT, caller="operator", content_length=2)
        assert isinstance(await invoke(door, made, b"{}"), Reply)
        sender = house.daemon.monitoring.tracing
        assert sender is not None
        await sender.send()

    whole, queue, plugin = (collector.named(n) for n in ("call notes", "queue", "plugin notes"))
    assert {span.trace_id.hex() for span in (whole, queue, plugin)} == {TRACE}
    assert whole.parent_span_id.hex() == "b7ad6b7169203331"
    assert queue.parent_span_id == plugin.parent_span_id == whole.span_id
    assert whole.start_time_unix_nano == queue.start_time_unix_nano
    assert queue.end_time_unix_nano == plugin.start_time_unix_nano
    assert plugin.end_time_unix_nano == whole.end_time_unix_nano
    assert whole.start_time_unix_nano < whole.end_time_unix_nano
    assert (whole.kind, queue.kind, plugin.kind) == (2, 1, 3)
    assert attributes(whole.attributes) == {
        "orchestrator.plugin": "notes",
        "orchestrator.tool": "",
        "orchestrator.caller": "operator",
        "orchestrator.request_id": "r1",
        "orchestrator.outcome": "ok",
    }
    assert whole.status.code == 0
    assert collector.paths == {"/v1/traces"}
    assert collector.resources[0]["service.name"] == "agents"
    assert collector.resources[0]["service.instance.id"] == "default"


def test_a_failure_is_an_error_unless_it_is_the_callers(collector: Collector) -> None:
    exporter = OtlpExporter(collector.endpoint, service="s", instance="i")
    one = TracedCall(
        trace_id=1, span_id=16, parent_id=0, plugin_id="p", tool="", caller="", request_id="r",
        outcome="plugin_error", ended_at=10.0, seconds=1.0, waited=0.25,
    )  # fmt: skip
    assert exporter.send([one, replace(one, plugin_id="q", outcome="caller_error")])

    codes = {span.name: span.status.code for span in collector.spans if span.name != "queue"}
    assert codes == {"call p": 2, "plugin p": 2, "call q": 0, "plugin q": 0}
    assert collector.named("call p").parent_span_id == b""


@pytest.mark.parametrize("status", [400, 500])
def test_a_collector_that_refuses_is_told_as_that(
    collector: Collector, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.monitoring.otlp._TIMEOUT_SECONDS", 1)
    collector.status = status
    exporter = OtlpExporter(collector.endpoint, service="s", instance="i")
    one = TracedCall(
        trace_id=1, span_id=16, parent_id=0, plugin_id="p", tool="", caller="", request_id="r",
        outcome="ok", ended_at=10.0, seconds=1.0, waited=0.25,
    )  # fmt: skip

    assert not exporter.send([one])


async def test_without_a_collector_a_call_does_nothing_for_traces(house: PaperHouse) -> None:
    async with house.daemon_runs():
        recorder = house.daemon.monitoring.instruments.recorder

        assert house.daemon.monitoring.tracing is None
        assert recorder.trace is None
        assert len(recorder.also) == 1
