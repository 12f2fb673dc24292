"""What the operator wants to be monitored, kept with the state so that the next daemon knows."""

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.store.base import Record, RecordStore

MONITORING: Final = "monitoring"
_FILE: Final = "config"
_COMMAND: Final = "command"
_NOTHING: Final = MonitoringConfig()


def stored_monitoring(store: RecordStore) -> MonitoringConfig:
    """That of the last `up`; of another version's words nothing is wanted."""
    records = store.load(MONITORING)
    record = records.get(_FILE)
    try:
        config = MonitoringConfig.model_validate(record, strict=False) if record else _NOTHING
    except ValidationError:
        config = _NOTHING
    return _with_command(config, by_command=_by_command(records))


def store_monitoring(
    store: RecordStore, config: MonitoringConfig, *, by_command: bool | None
) -> MonitoringConfig:
    """What is wanted now. Raises StoreUnavailable.

    `config` is the file's word. `by_command` is that of `up --monitoring`, which holds until
    another command says otherwise; None says nothing.
    """
    if by_command is None:
        by_command = _by_command(store.load(MONITORING))
    records = {_FILE: config.model_dump(mode="json"), _COMMAND: {"stack": by_command}}
    store.put_all(MONITORING, records)
    return _with_command(config, by_command=by_command)


def _by_command(records: Mapping[str, Record]) -> bool | None:
    said = records.get(_COMMAND, {}).get("stack")
    return said if isinstance(said, bool) else None


def _with_command(config: MonitoringConfig, *, by_command: bool | None) -> MonitoringConfig:
    return config if by_command is None else config.model_copy(update={"stack": by_command})
