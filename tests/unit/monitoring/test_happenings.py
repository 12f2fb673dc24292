"""What is counted of events and refusals, and what a plugin cannot make count."""

from typing import Any

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.manager.rollout_commands import RolloutCommands, Wish
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.permissions import PermissionKind
from orchestrator.monitoring.counts import ALERTS, EVENT_COUNTS
from orchestrator.monitoring.happenings import CountingAuditor, Happenings
from orchestrator.policy.grant import PermissionRefused
from tests.chaos.paper_house import PaperHouse


def event(name: str, subject: str = "notes", source: str = "orchestrator/home", **data: Any) -> Any:
    return PluginEvent(event_id="1", type=name, source=source, at=1.0, subject=subject, data=data)


def refusal(actor: str, **fields: Any) -> AuditEntry:
    plain: dict[str, Any] = {
        "action": AuditAction.PERMISSION_GRANT,
        "outcome": AuditOutcome.REFUSED,
        "plugin_id": "notes",
    }
    return AuditEntry(at=1.0, actor=actor, **{**plain, **fields})


class Shelf:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


def test_the_orchestrators_own_events_are_counted_by_what_they_tell() -> None:
    it = Happenings()
    for each in (
        event(EventName.PLUGIN_DRIFTED, field="memory_bytes"),
        event(EventName.PLUGIN_OOM),
        event(EventName.PLUGIN_OOM),
        event(EventName.ROLLOUT_ROLLED_BACK),
        event(EventName.DAEMON_TASK_FAILED, "", task="probes"),
        event(EventName.PLUGIN_QUOTA_EXCEEDED),
    ):
        it.hear(each)

    assert it.drifts == {("notes", "memory_bytes"): 1}
    assert it.ooms == {"notes": 2}
    assert it.rollouts == {("notes", "rolled_back"): 1}
    assert it.task_failures == {"probes": 1}
    assert it.alerts == {
        ("notes", "drifted"): 1,
        ("notes", "out_of_memory"): 2,
        ("notes", "quota_exceeded"): 1,
        ("notes", "rolled_back"): 1,
    }
    assert it.published == {("", "orchestrator"): 6}


def test_a_plugin_that_speaks_as_the_orchestrator_is_counted_as_a_plugin() -> None:
    it = Happenings()

    it.hear(event(EventName.PLUGIN_STUCK, "victim", source="plugin/notes"))

    assert (it.alerts, it.published) == ({}, {("notes", "plugin"): 1})


def test_an_operators_event_is_an_operators() -> None:
    it = Happenings()

    it.hear(event("order.made", "", source="operator/anna"))

    assert it.published == {("", "operator"): 1}


def test_refusals_are_counted_by_their_code_on_the_way_to_the_log() -> None:
    it, shelf = Happenings(), Shelf()
    auditor = CountingAuditor(shelf, it)

    auditor.record(refusal("operator", data={"code": "permission_refused", "kind": "denied"}))
    auditor.record(refusal("operator", action=AuditAction.POLICY_DECISION))
    auditor.record(refusal("operator", outcome=AuditOutcome.DONE))

    assert it.refusals == {("notes", "permission_refused"): 1, ("notes", "policy_decision"): 1}
    assert len(shelf.entries) == 3


async def test_commands_that_name_nothing_or_do_not_fit_are_no_violations_of_a_plugin(
    house: PaperHouse,
) -> None:
    """An operator's mistakes, whatever they are about; what policy refuses is one."""
    house.plugin("notes", info={"permissions": ["system_info"]})
    house.plugin("todo", info={"dependencies": ["notes"]})
    mistakes: list[str] = []
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        manager, clerk = house.daemon.manager, house.daemon.manager._clerk
        commands = RolloutCommands(manager=manager, bus=house.daemon.bus, clerk=clerk)
        with pytest.raises(OrchestratorError) as undo:
            await commands.undo(Wish(plugin_id="notes"), None)
        with pytest.raises(OrchestratorError) as revoke:
            await house.daemon.permissions.grant_permission("nobody", PermissionKind.SYSTEM_INFO)
        house.drop("notes")
        with pytest.raises(OrchestratorError) as up:
            await house.up()
        mistakes = [found.value.code for found in (undo, revoke, up)]
        counted = house.daemon.monitoring.instruments.happenings
        before = dict(counted.refusals)
        with pytest.raises(PermissionRefused):
            await house.daemon.permissions.grant_permission("todo", PermissionKind.SYSTEM_INFO)
        refused = [r.entry["data"] for r in house.daemon.audit.read() if "code" in r.entry["data"]]

    assert mistakes == ["revision_not_found", "plugin_not_found", "dependencies_unresolved"]
    assert before == {}
    assert counted.refusals == {("todo", "permission_refused"): 1}
    assert [data["kind"] for data in refused] == ["not_found", "not_found", "invalid", "denied"]


def test_alerts_are_counted_by_the_same_names_for_metrics_and_for_reports() -> None:
    assert {name: EVENT_COUNTS.get(name, "state_rebuilt") for name in ALERTS} == ALERTS


def test_what_brokers_refuse_is_left_to_their_own_counts() -> None:
    it = Happenings()

    CountingAuditor(Shelf(), it).record(refusal("plugin:notes", action=AuditAction.EGRESS))

    assert it.refusals == {}


async def test_a_process_that_was_killed_for_memory_was_not_refused_anything(
    house: PaperHouse,
) -> None:
    """It is taken down in the audit log as a limit that held, and counted as an alert."""
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        for name in (EventName.PLUGIN_OOM, EventName.PLUGIN_QUOTA_EXCEEDED):
            house.daemon.bus.publish(name, "notes", {"reason": "quota_exceeded"})
        counted = house.daemon.monitoring.instruments.happenings

    assert counted.refusals == {}
    assert counted.alerts == {("notes", "out_of_memory"): 1, ("notes", "quota_exceeded"): 1}


def test_a_plugin_that_is_gone_is_forgotten_and_what_is_nobodys_is_not() -> None:
    it = Happenings()
    for subject in ("notes", "todo"):
        it.hear(event(EventName.PLUGIN_OOM, subject))
        it.hear(event("order.made", source=f"plugin/{subject}"))

    it.prune({"todo"})

    assert {*it.alerts, *it.published} == {
        ("todo", "out_of_memory"),
        ("todo", "plugin"),
        ("", "orchestrator"),
    }
    assert it.ooms == {"todo": 1}
