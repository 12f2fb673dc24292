"""What is remembered of monitoring: the file's word, and that of a command over it."""

import pytest

from orchestrator.manager.fleet import forget_all
from orchestrator.manager.monitored import MONITORING, store_monitoring, stored_monitoring
from orchestrator.model.monitoring import DEFAULT_LISTEN, MonitoringConfig
from orchestrator.store.memory import MemoryStore

FILE_OFF, FILE_ON = MonitoringConfig(grafana_port=1), MonitoringConfig(stack=True, grafana_port=1)


@pytest.mark.parametrize("config", [FILE_OFF, FILE_ON])
@pytest.mark.parametrize("command", [None, True, False])
def test_a_command_goes_over_the_file_and_the_next_daemon_knows(
    config: MonitoringConfig,
    command: bool | None,  # noqa: FBT001 - a row of the table
) -> None:
    store = MemoryStore()
    now = store_monitoring(store, config, by_command=command)

    assert now.stack == (config.stack if command is None else command)
    assert now.grafana_port == 1
    assert stored_monitoring(store) == now


def test_a_command_holds_until_another_says_otherwise() -> None:
    store = MemoryStore()
    store_monitoring(store, FILE_OFF, by_command=True)
    held = store_monitoring(store, FILE_OFF, by_command=None)
    ended = store_monitoring(store, FILE_OFF, by_command=False)

    assert (held.stack, ended.stack) == (True, False)


def test_after_down_nothing_of_it_is_remembered() -> None:
    store = MemoryStore()
    store_monitoring(store, FILE_OFF, by_command=True)
    forget_all(store)

    assert stored_monitoring(store) == MonitoringConfig()


def test_what_another_version_wrote_is_not_believed() -> None:
    store = MemoryStore()
    store.put_all(MONITORING, {"config": {"new": 1}, "command": {"stack": "yes"}})

    assert stored_monitoring(store) == MonitoringConfig()


def test_the_stack_needs_a_place_where_metrics_are_answered() -> None:
    assert MonitoringConfig().address == ""
    assert MonitoringConfig(stack=True).address == DEFAULT_LISTEN
    assert MonitoringConfig(stack=True, listen="127.0.0.1:1").address == "127.0.0.1:1"
