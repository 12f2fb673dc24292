"""From Python, under the specification's names: discover, register, load, execute, stop, unload."""

import pytest

from orchestrator.client.client import DaemonClient
from orchestrator.client.plugin_instance import execute_plugin_safely
from orchestrator.client.plugin_manager import PluginManager
from orchestrator.client.plugin_registry import PluginRegistry
from orchestrator.client.problem import DaemonProblem
from orchestrator.model.status import PluginState
from orchestrator.registry.discovery import discover_plugins
from tests.support.instance import Instance
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


def test_a_program_takes_plugins_through_their_whole_life(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-a")
    workshop.small("e2e-b", info={"dependencies": ["e2e-a@^1"]})
    instance.run("daemon", "start")
    daemon = DaemonClient(instance.home / instance.name / "daemon.sock")
    registry = PluginRegistry(daemon=daemon, manifests=instance.manifests, who="ada")
    for info in discover_plugins(instance.folder / "plugins"):
        registry.register_plugin(info)
    manager = PluginManager(registry)
    started = manager.start_plugin("e2e-b")  # and what it needs
    first = {name: one.status for name, one in manager.active_plugins.items()}
    plugin = manager.active_plugins["e2e-b"]
    answer = execute_plugin_safely(plugin, {"well": 1})
    with pytest.raises(DaemonProblem) as needed:
        manager.stop_plugin("e2e-a")
    stopped = manager.stop_plugin("e2e-b")
    between = sorted(instance.containers())
    again = manager.start_plugin("e2e-b")
    unloaded = registry.unload_plugin("e2e-b")
    with pytest.raises(DaemonProblem) as gone:
        _ = plugin.status

    assert [started, stopped, again, unloaded] == [True] * 4
    assert first == {"e2e-a": PluginState.ACTIVE, "e2e-b": PluginState.ACTIVE}
    assert answer == {"well": 1}
    assert needed.value.remote_code == "dependencies_unresolved"
    assert between == ["e2e-a"]
    assert gone.value.remote_code == "plugin_not_found"
