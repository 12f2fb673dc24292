"""Write orchestrator plugins: subclass `PluginInterface`; the server around it is not your concern.

Standard library only, and quick to import: a plugin's start is mostly its imports.
"""

from orchestrator_sdk.context import PluginContext
from orchestrator_sdk.errors import InputError, PluginError
from orchestrator_sdk.host import HostClient, HostProblem
from orchestrator_sdk.interface import PluginEvent, PluginInterface, PluginStatus
from orchestrator_sdk.pages import UiRequest
from orchestrator_sdk.tools import tool

__all__ = [
    "HostClient",
    "HostProblem",
    "InputError",
    "PluginContext",
    "PluginError",
    "PluginEvent",
    "PluginInterface",
    "PluginStatus",
    "UiRequest",
    "tool",
]
