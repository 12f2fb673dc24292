"""A scrape of a whole orchestrator: every metric is there, and nothing of what is no more."""

import asyncio
import json
import subprocess
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.engine.usage import Usage
from orchestrator.manager.fleet import Report
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.model.events import EventName
from orchestrator.monitoring.exporter import Exporter
from orchestrator.monitoring.metrics import METRICS
from orchestrator.monitoring.page import with_table
from orchestrator.monitoring.sources import SyncFacts
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.desk import invoke
from orchestrator.sandbox.party_counts import HostClass
from tests.chaos.paper_house import PaperHouse
from tests.support.instance import ROOT

Series = dict[tuple[str, ...], float]
"""(name, values of labels) → value."""
ADD: Final = {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}


GIT: Final = SyncFacts(
    states={"synced": True, "degraded": False},
    last_success=1_700_000_000.0,
    syncs=5,
    failures=2,
    heals=1,
)


def exporter(house: PaperHouse) -> Exporter:
    return house.daemon.monitoring.exporter


def series(text: bytes) -> Series:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def scrape(house: PaperHouse) -> Series:
    return series((await exporter(house).scrape())[1])


async def bring_up(house: PaperHouse) -> None:
    """Two plugins of which much has happened."""
    house.plugin(
        "notes",
        info={"tools": [ADD], "subscribes": ["order.*"], "publishes": ["note.made"]},
    )
    house.plugin(
        "todo",
        info={
            "dependencies": ["notes"],
            "permissions": [{"file_system_write": {}}, {"external_api": {"hosts": ["a.test:443"]}}],
        },
        permissions=[{"file_system_write": {}}, {"external_api": {"hosts": ["a.test:443"]}}],
    )
    await house.up()
    await house.converged()
    usage = Usage(
        memory_bytes=1_000,
        cpu_seconds=2.5,
        throttled_seconds=0.5,
        throttled_periods=3,
        periods=9,
        pids=4,
        oom_kills=0,
        disk_bytes=2_000,
        disk_size_bytes=50 << 20,
    )
    for name in ("notes", "todo"):
        house.usages.set(house.container(name), usage)


async def look(house: PaperHouse) -> None:
    await house.daemon.monitoring.sampler.sample()
    await house.daemon.monitoring.looks.look()


async def happen(house: PaperHouse) -> None:
    """What is counted only once it happened."""
    await house.call("notes")
    door: Any = house.daemon.gate.route("notes")
    asked = Call(request_id="r", deadline_seconds=5.0, caller="plugin:todo", content_length=2)
    await invoke(door, asked, b"{}")
    bus, instruments = house.daemon.bus, house.daemon.monitoring.instruments
    bus.publish(EventName.PLUGIN_DRIFTED, "notes", {"field": "memory_bytes"})
    instruments.counts.of("todo").to(HostClass.PUBLIC).sent += 10
    instruments.happenings.built("ok", 1.5)
    instruments.happenings.expect(["probes"])
    house.daemon.monitoring.looks.audit_intact = house.daemon.audit.verify().intact
    await look(house)


async def test_every_metric_of_the_table_is_told(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        await happen(house)
        exporter(house)._sources.sync = lambda: GIT
        exporter(house)._sources.logs_origin = lambda: "http://127.0.0.1:8480"
        told = {family.metric.name for family in exporter(house).board()}

    assert METRICS.keys() - told == set()


async def test_git_has_no_series_where_there_is_no_git(house: PaperHouse) -> None:
    async with house.daemon_runs():
        told = {family.metric.name for family in exporter(house).board()}

    assert [name for name in told if "gitops" in name] == []


async def test_promtool_finds_nothing_to_say(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        await happen(house)
        exporter(house)._sources.sync = lambda: GIT
        _, text = await exporter(house).scrape()
    checked = await asyncio.to_thread(
        lambda: subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
        )
    )

    assert (checked.stdout.decode(), checked.stderr.decode(), checked.returncode) == ("", "", 0)


async def test_open_metrics_can_be_read_with_the_trace_of_a_call(house: PaperHouse) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with house.daemon_runs():
        await bring_up(house)
        await happen(house)
        door: Any = house.daemon.gate.route("notes")
        call = Call(
            request_id="r",
            deadline_seconds=5.0,
            content_length=2,
            traceparent=f"00-{trace}-b7ad6b7169203331-01",
        )
        await invoke(door, call, b"{}")
        content_type, text = await exporter(house).scrape(
            "application/openmetrics-text; version=1.0.0"
        )
    families = parse_open(text.decode())
    exemplars = [s.exemplar for family in families for s in family.samples if s.exemplar]

    assert content_type.startswith("application/openmetrics-text")
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": trace}]


async def test_a_registry_of_prometheus_client_tells_the_same(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        await look(house)
        registry = CollectorRegistry()
        registry.register(exporter(house))
        _, ours = await exporter(house).scrape()
        theirs = generate_latest(registry)

    assert steady(ours) == steady(theirs)
    assert len(steady(ours)) > 200


def steady(text: bytes) -> dict[object, float]:
    """All series but those that two scrapes tell differently, whatever the order of labels."""
    moving = ("daemon_cpu", "daemon_memory", "scrape_duration", "reconcile_dur", "open_fds", "lag")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not any(name in sample.name for name in moving)
    }


async def test_usage_and_limit_are_pairs(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        await look(house)
        found = await scrape(house)

    p = "orchestrator_plugin"
    assert (found[f"{p}_memory_bytes", "todo"], found[f"{p}_memory_limit_bytes", "todo"]) == (
        1_000,
        100 << 20,
    )
    assert (found[f"{p}_disk_bytes", "todo"], found[f"{p}_disk_limit_bytes", "todo"]) == (
        2_000,
        50 << 20,
    )
    assert (f"{p}_disk_limit_bytes", "notes") not in found
    assert (found[f"{p}_cpu_seconds_total", "todo"], found[f"{p}_cpu_limit_cores", "todo"]) == (
        2.5,
        0.1,
    )
    window, limit = f"{p}_network_window_bytes", f"{p}_network_limit_bytes"
    assert (found[window, "todo"], found[limit, "todo"]) == (0, 10 << 20)


async def test_calls_that_came_over_every_way_are_counted(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        gate = house.daemon.gate
        door: Any = gate.route("notes")
        for tool, body in (("add", b"{}"), ("add", b"[]"), ("made-up", b"{}")):
            call = Call(
                request_id="r", deadline_seconds=5.0, tool=tool, caller="operator",
                content_length=2,
            )  # fmt: skip
            await invoke(door, call, body)
        found = await scrape(house)

    calls = "orchestrator_plugin_calls_total"
    assert found[calls, "notes", "ok"] == 1
    assert found[calls, "notes", "invalid_input"] == 1
    assert found[calls, "notes", "unknown_tool"] == 1
    assert found["orchestrator_plugin_tool_failures_total", "notes", "(other)"] == 1
    assert found["orchestrator_plugin_caller_calls_total", "notes", "operator"] == 3
    assert found["orchestrator_plugin_call_duration_seconds_count", "notes"] == 1


async def test_a_removed_plugins_series_go_away(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        await happen(house)
        before = await scrape(house)
        house.drop("todo")
        house.plugin("notes")
        await house.up()
        await house.converged()
        await look(house)
        after = await scrape(house)

    assert sum("todo" in key for key in before) > 50
    assert [key for key in after if "todo" in key] == []
    assert any("notes" in key for key in after)


async def test_counters_stand_at_zero_before_anything_happened(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        found = await scrape(house)

    assert found["orchestrator_plugin_calls_total", "notes", "plugin_error"] == 0
    assert found["orchestrator_rollouts_total", "notes", "rolled_back"] == 0
    assert found["orchestrator_security_alerts_total", "notes", "stuck"] == 0
    assert found["orchestrator_security_refusals_total", "todo", "host_not_allowed"] == 0
    assert found["orchestrator_plugin_oom_kills_total", "notes"] == 0


async def test_state_follows_the_plugin(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        up = await scrape(house)
        house.players.mute.add("notes")
        house.engine.die(house.container("notes"))
        while house.daemon.manager.fleet.sandbox("notes") is not None:
            await house.daemon.manager.loop.passed()
        down = await scrape(house)

    p = "orchestrator_plugin"
    assert (up[f"{p}_up", "notes"], down[f"{p}_up", "notes"]) == (1, 0)
    needs = (f"{p}_dependency_up", "todo", "notes")
    assert (up[needs], down[needs]) == (1, 0)
    assert (up[f"{p}_status", "notes", "active"], down[f"{p}_status", "notes", "error"]) == (1, 1)
    assert (down[f"{p}_wanted", "notes"], down[f"{p}_gave_up", "notes"]) == (1, 0)
    states = [key[2] for key in down if key[:2] == (f"{p}_sub_state", "notes")]
    assert len(states) == 1
    assert (up[f"{p}_replicas", "notes"], down[f"{p}_replicas", "notes"]) == (1, 0)


async def test_a_plugins_own_gauges_are_told_under_their_prefix(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        fleet = house.daemon.manager.fleet
        [sandbox] = fleet.routes["notes"]
        metrics = (("documents", 12.0), ("Bad Name", 1.0), ("up_total", 2.0))
        fleet.reports[sandbox.sandbox_id] = Report(state="ready", metrics=metrics)
        found = await scrape(house)

    own = {key: value for key, value in found.items() if "_custom_" in key[0]}
    assert own == {("orchestrator_plugin_custom_documents", "notes", "0"): 12}


async def test_a_refused_command_is_counted_by_its_code(house: PaperHouse) -> None:
    async with house.daemon_runs():
        await bring_up(house)
        house.plugin("greedy", permissions=["network_access"])
        with pytest.raises(Exception, match="network_access"):
            await house.up()
        found = await scrape(house)

    refusals = [key[1:] for key in found if key[0] == "orchestrator_security_refusals_total"]
    assert [rule for plugin, rule in refusals if not plugin] == ["permission_refused"]


async def test_the_audit_logs_break_is_told(house: PaperHouse) -> None:
    async with house.daemon_runs():
        entry = AuditEntry(
            at=1.0, actor="operator", action=AuditAction.COMMAND, outcome=AuditOutcome.DONE
        )
        for _ in range(3):
            house.daemon.audit.record(entry)
        [segment] = house.settings.audit_folder.iterdir()
        lines = segment.read_text().splitlines(keepends=True)
        row = json.loads(lines[1])
        segment.write_text(
            "".join([lines[0], json.dumps(row | {"why": "nothing"}) + "\n", *lines[2:]])
        )
        looks = house.daemon.monitoring.looks
        looks.audit_intact = house.daemon.audit.verify().intact
        found = await scrape(house)

    assert found["orchestrator_audit_chain_intact",] == 0


def test_the_page_has_the_table_as_it_is() -> None:
    page = (ROOT / "docs/metrics.md").read_text()

    assert with_table(page) == page, "run `python -m orchestrator.monitoring.page docs/metrics.md`"


def test_names_follow_the_conventions() -> None:
    for name, metric in METRICS.items():
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert name.endswith("_info") == (metric.kind == "info"), name
        assert metric.help.endswith("."), name
