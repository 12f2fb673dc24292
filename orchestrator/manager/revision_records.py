"""How the revisions of a plugin are remembered: one record for each plugin."""

from collections.abc import Iterator
from typing import Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.manager.revisions import Rollout
from orchestrator.store.base import Record, RecordStore

REVISIONS: Final = "revision"
_CODEC = TypeAdapter(Rollout)


def to_rollout_record(rollout: Rollout) -> Record:
    """As stored; `stored_rollouts` is its inverse."""
    record: Record = _CODEC.dump_python(rollout, mode="json", by_alias=True)
    return record


def stored_rollouts(store: RecordStore) -> dict[str, Rollout]:
    """By plugin. A record that this version cannot read is none: revisions begin anew."""
    return dict(_readable(store))


def _readable(store: RecordStore) -> Iterator[tuple[str, Rollout]]:
    for name, record in store.load(REVISIONS).items():
        try:
            rollout = _CODEC.validate_python(dict(record), strict=False)
        except ValidationError:
            continue
        if rollout.revisions:
            yield name, rollout
