"""Both text formats, held to the parsers of prometheus_client and to its own generator."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from orchestrator.clock import SystemClock
from orchestrator.monitoring.board import Board
from orchestrator.monitoring.exposition import OPEN_METRICS, PLAIN, content_type_for, encode
from orchestrator.monitoring.tally import Spread
from tests.support.prometheus import prometheus, until

STARTED: Final = SystemClock().now()
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"


def some_board() -> Board:
    board = Board()
    spread = Spread()
    for seconds in (0.0001, 0.02, 0.02, 99.0):
        spread.add(seconds)
    board.spread("plugin_call_duration_seconds", spread, "notes", exemplars={5: (TRACE, 0.02, 7.5)})
    board.put("plugin_calls_total", 3, "notes", "ok")
    board.put("plugin_up", bool(1), "notes")
    board.put("plugin_cpu_limit_cores", 0.1, "notes")
    board.put("plugin_info", 1, "notes", "1.0.0", "integration", "runc")
    board.put("security_refusals_total", 2, "", 'a "rule"\\ of\ntwo lines')
    board.put("updates_held", 0)
    board.custom("queue_length", float(2**60), plugin_id="notes", replica="0")
    return board


def text_of(board: Board, content_type: str) -> str:
    return b"".join(encode(board, content_type)).decode()


def test_plain_text_says_to_a_parser_what_was_put_on_the_board() -> None:
    families = parse_plain(text_of(some_board(), PLAIN))
    found = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    assert found["orchestrator_plugin_calls_total", "notes", "ok"] == 3
    assert found["orchestrator_plugin_up", "notes"] == 1
    assert found["orchestrator_plugin_cpu_limit_cores", "notes"] == 0.1
    assert found["orchestrator_plugin_info", "notes", "1.0.0", "integration", "runc"] == 1
    assert found["orchestrator_security_refusals_total", "", 'a "rule"\\ of\ntwo lines'] == 2
    assert found["orchestrator_updates_held",] == 0
    assert found["orchestrator_plugin_custom_queue_length", "notes", "0"] == 2**60
    bucket = "orchestrator_plugin_call_duration_seconds_bucket"
    assert [found[bucket, "notes", le] for le in ("0.0005", "0.01", "0.025", "30.0", "+Inf")] == [
        *(1, 1, 3, 3, 4)
    ]
    assert found["orchestrator_plugin_call_duration_seconds_count", "notes"] == 4
    assert found["orchestrator_plugin_call_duration_seconds_sum", "notes"] == pytest.approx(99.0401)


def test_open_metrics_has_types_exemplars_and_an_end() -> None:
    text = text_of(some_board(), OPEN_METRICS)
    families = {family.name: family for family in parse_open(text)}

    assert text.endswith("# EOF\n")
    assert families["orchestrator_plugin_calls"].type == "counter"
    assert families["orchestrator_plugin"].type == "info"
    buckets = families["orchestrator_plugin_call_duration_seconds"].samples
    exemplars = {s.labels["le"]: s.exemplar for s in buckets if s.exemplar is not None}
    assert [*exemplars] == ["0.025"]
    assert exemplars["0.025"].labels == {"trace_id": TRACE}
    assert (exemplars["0.025"].value, float(exemplars["0.025"].timestamp)) == (0.02, 7.5)


def test_plain_text_has_no_exemplars() -> None:
    assert TRACE not in text_of(some_board(), PLAIN)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", PLAIN),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", OPEN_METRICS),
        ("text/plain, Application/OpenMetrics-Text", OPEN_METRICS),
        ("application/openmetrics-text-not", PLAIN),
    ],
)
def test_open_metrics_is_for_who_asks_for_it(accept: str, expected: str) -> None:
    assert content_type_for(accept) == expected


def test_a_name_that_is_not_in_the_table_raises() -> None:
    with pytest.raises(KeyError, match="orchestrator_plugin_mood"):
        Board().put("plugin_mood", 1, "notes")


def test_labels_that_are_not_the_tables_raise() -> None:
    board = Board()
    board.put("plugin_calls_total", 1, "notes")

    with pytest.raises(ValueError, match="not enough values"):
        text_of(board, PLAIN)


def test_a_real_prometheus_keeps_the_traces(tmp_path: Path) -> None:
    """As the bundled one is started; tests/unit/monitoring/stack/test_parts.py says how."""
    server = HTTPServer(("127.0.0.1", 0), Told)
    Thread(target=server.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{server.server_port}"
    with prometheus(tmp_path, target=target, instance="default") as asked:
        name = "orchestrator_plugin_call_duration_seconds_bucket"
        found: list[Any] = []

        def kept() -> bool:
            found[:] = asked.ask(
                "query_exemplars", query=name, start=f"{STARTED - 99}", end=f"{STARTED + 99}"
            )
            return bool(found)

        until(kept, seconds=20)
    server.shutdown()
    server.server_close()

    assert [one["labels"]["trace_id"] for it in found for one in it["exemplars"]] == [TRACE]


class Told(BaseHTTPRequestHandler):
    """A board as Prometheus gets it; of now, as what is older than its database is dropped."""

    def do_GET(self) -> None:
        board, spread = Board(), Spread()
        exemplars = {spread.add(0.02): (TRACE, 0.02, STARTED)}
        board.spread("plugin_call_duration_seconds", spread, "notes", exemplars=exemplars)
        kind = content_type_for(self.headers["Accept"])
        text = b"".join(encode(board, kind))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Not on the tests' output."""
