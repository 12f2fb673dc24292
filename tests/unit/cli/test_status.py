"""`orchestrator status PLUGIN`: what it shows lines up."""

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import PLUGIN, FakeDaemon


def test_what_the_latest_events_tell_begins_in_one_column(shell: Shell, daemon: FakeDaemon) -> None:
    events = [
        {"type": f"orchestrator.{name}", "time": "2026-01-01T00:00:00+00:00", "data": {"n": 1}}
        for name in ("plugin.started", "rollout.completed")
    ]
    daemon.answer("/v1/plugins/notes", {**PLUGIN, "events": events})

    *_, first, second = shell("status", "notes").out.splitlines()
    assert first == "  00:00:00  started            n 1"
    assert second == "  00:00:00  rollout.completed  n 1"
