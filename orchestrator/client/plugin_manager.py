"""PluginManager: starting, stopping and telling plugins, under the specification's names.

It speaks to the daemon, whose own class of this name (manager/manager.py) holds the bus and the
reconcile loop.
"""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.client.events import EventsClient
from orchestrator.client.plugin_instance import PluginInstance
from orchestrator.client.plugin_registry import WHY, PluginRegistry
from orchestrator.client.problem import DaemonProblem
from orchestrator.model.events import PluginEvent
from orchestrator.model.status import PluginState


class PluginManager:
    """Of the plugins of one registry."""

    def __init__(self, registry: PluginRegistry) -> None:
        self.registry = registry

    @property
    def active_plugins(self) -> Mapping[str, PluginInstance]:
        """Those registered plugins that take calls now, by id."""
        rows = self.registry.daemon.plugins()
        active = {row["plugin_id"] for row in rows if row["status"] == PluginState.ACTIVE}
        return {
            info.plugin_id: PluginInstance(info, self.registry.daemon)
            for info in self.registry.plugins
            if info.plugin_id in active
        }

    def start_plugin(self, plugin_id: str) -> bool:
        """Until it takes calls; one that is not loaded is loaded.

        Raises what `load_plugin` raises.
        """
        if not self._is_loaded(plugin_id):
            self.registry.load_plugin(plugin_id)
            return True
        instance = PluginInstance(self.registry.plugin(plugin_id), self.registry.daemon)
        self._switch(plugin_id, "start")
        instance.wait()
        return True

    def stop_plugin(self, plugin_id: str) -> bool:
        """Until it is stopped.

        Raises PluginNotRegistered, PluginNotReady; DaemonProblem (plugin_not_found;
        dependencies_unresolved while another one needs it).
        """
        instance = PluginInstance(self.registry.plugin(plugin_id), self.registry.daemon)
        self._switch(plugin_id, "stop")
        instance.wait(PluginState.INACTIVE)
        return True

    def route_event(self, event: PluginEvent) -> PluginEvent:
        """Give it to the bus: it is on disk when this returns, and reaches who subscribed.

        It comes back with the id that the daemon gave it; its source is the daemon's to say too:
        whoever hears it reads `operator/` and `who` of the registry.
        Raises DaemonProblem (event_type_reserved, events_full).
        """
        # The same socket; events have a client of their own.
        client = EventsClient(self.registry.daemon.path)
        event_id = client.publish_event(
            event.type, subject=event.subject, data=dict(event.data), who=self.registry.who
        )
        return replace(event, event_id=event_id)

    def _is_loaded(self, plugin_id: str) -> bool:
        try:
            self.registry.daemon.plugin(plugin_id)
        except DaemonProblem as error:
            if error.remote_code != "plugin_not_found":
                raise
            return False
        return True

    def _switch(self, plugin_id: str, verb: str) -> None:
        who = self.registry.who
        self.registry.daemon.switch_plugin(plugin_id, verb, who=who, why=WHY)
