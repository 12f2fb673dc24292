"""Migrations: how a store of an earlier version becomes one of this version, step by step.

Each step is one transaction, and its number is stored in the same one: a daemon killed in between
goes on with the next step. The numbers mean the same for SQLite and PostgreSQL, though only what
SQLite holds was ever at version 1 in anybody's hands. A step that was released is never changed.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.store.base import StoreTooNew


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From the version before to `version`; `md5` is a function in both databases."""

    version: int
    brings: str
    sqlite: tuple[str, ...]
    postgresql: tuple[str, ...]


STEPS: Final[tuple[Step, ...]] = (
    Step(
        version=1,
        brings="records by kind and key",
        sqlite=(
            # The first version could be killed between this and the storing of its number.
            """CREATE TABLE IF NOT EXISTS records (
                kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
            ) STRICT, WITHOUT ROWID""",
        ),
        postgresql=(
            """CREATE TABLE orchestrator_records (
                instance TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
                PRIMARY KEY (instance, kind, key)
            )""",
            # Which daemon wrote last: one whose lock was lost and taken meanwhile must not go on.
            "CREATE TABLE orchestrator_holders (instance TEXT PRIMARY KEY, holder TEXT NOT NULL)",
        ),
    ),
    Step(
        version=2,
        brings="a checksum of every record, as a page check sees no changed content",
        sqlite=(
            "ALTER TABLE records ADD COLUMN checksum TEXT NOT NULL DEFAULT ''",
            "UPDATE records SET checksum = md5(kind || '/' || key || '/' || value)",
        ),
        postgresql=(
            "ALTER TABLE orchestrator_records ADD COLUMN checksum TEXT NOT NULL DEFAULT ''",
            """UPDATE orchestrator_records
                SET checksum = md5(kind || '/' || key || '/' || value)""",
        ),
    ),
)
LATEST: Final = STEPS[-1].version


def pending(version: int, *, where: str) -> tuple[Step, ...]:
    """The steps that a store of that version lacks. Raises StoreTooNew."""
    if version > LATEST:
        raise StoreTooNew(
            f"{where}: found state of version {version}, expected at most {LATEST}; it was left"
            " as it is: run the later version of the orchestrator that wrote it, or restore a"
            " backup of this one's"
        )
    return STEPS[version:]
