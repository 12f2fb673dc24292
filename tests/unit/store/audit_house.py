"""A folder and a store for audit logs, and how the tests ask them."""

from pathlib import Path
from typing import Any

from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.base import Record
from orchestrator.store.memory import MemoryStore


def entry(number: int = 0, **fields: Any) -> AuditEntry:
    plain: dict[str, Any] = {
        "at": float(number),
        "actor": "operator",
        "action": AuditAction.COMMAND,
        "outcome": AuditOutcome.DONE,
        "plugin_id": "notes",
        "why": f"entry {number}",
    }
    return AuditEntry(**plain | fields)


class House:
    """A folder, a store and the logs opened on them one after the other."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.folder, self.store, self.clock = folder, MemoryStore(), clock

    def open(self, **fields: Any) -> AuditLog:
        return AuditLog.open(self.folder, store=self.store, clock=self.clock, **fields)

    def write(self, *numbers: int, **fields: Any) -> None:
        log = self.open(**fields)
        for number in numbers:
            log.record(entry(number))
        log.close()

    @property
    def anchor(self) -> Record | None:
        return self.store.load("audit").get("newest")

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def lines(self, name: str = "000001.jsonl") -> list[bytes]:
        return (self.folder / name).read_bytes().splitlines(keepends=True)

    def put(self, lines: list[bytes], name: str = "000001.jsonl") -> None:
        (self.folder / name).write_bytes(b"".join(lines))


def whys(log: AuditLog, **fields: Any) -> list[str]:
    return [str(record.entry["why"]) for record in log.read(**fields)]


def named(log: AuditLog) -> tuple[int, str] | None:
    found = log.verify().first_break
    return None if found is None else (found.sequence, found.damage.value)
