"""What the operator wants to be monitored, kept with the state so that the next daemon knows."""

from typing import Final

from pydantic import ValidationError

from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.store.base import RecordStore

_KIND: Final = "monitoring"
_KEY: Final = "config"


def stored_monitoring(store: RecordStore) -> MonitoringConfig:
    """That of the last `up`; of another version's words nothing is wanted."""
    record = store.load(_KIND).get(_KEY)
    try:
        return MonitoringConfig.model_validate(record, strict=False) if record else _NOTHING
    except ValidationError:
        return _NOTHING


def store_monitoring(store: RecordStore, config: MonitoringConfig) -> None:
    """Raises StoreUnavailable."""
    store.put_all(_KIND, {_KEY: config.model_dump(mode="json")})


_NOTHING: Final = MonitoringConfig()
