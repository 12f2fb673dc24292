"""What is counted of events and refusals, and what a plugin cannot make count."""

from typing import Any

from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.monitoring.happenings import CountingAuditor, Happenings
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

    auditor.record(refusal("operator", data={"code": "permission_refused"}))
    auditor.record(refusal("operator", action=AuditAction.POLICY_DECISION))
    auditor.record(refusal("operator", outcome=AuditOutcome.DONE))

    assert it.refusals == {("notes", "permission_refused"): 1, ("notes", "policy_decision"): 1}
    assert len(shelf.entries) == 3


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
