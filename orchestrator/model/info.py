"""PluginInfo: what a plugin says of itself and asks for, in its folder and its image."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator

from orchestrator.model.base import Model, Name, PluginId, Unexpected
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import Permission, PermissionKind
from orchestrator.model.versions import Dependency, Version, parse_dependency

TOOL_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
EVENT_TYPE_PATTERN = r"^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*(\.\*)?$"

ToolName = Annotated[str, Field(pattern=TOOL_NAME_PATTERN)]
EventType = Annotated[str, Field(pattern=EVENT_TYPE_PATTERN, max_length=200)]
"""A CloudEvents type; `*` may stand as the last segment of a subscription."""


class PluginCategory(StrEnum):
    """The specification's twelve, in its three groups: core, advanced, community."""

    ANALYTICS = "analytics"
    COLLABORATION = "collaboration"
    INTEGRATION = "integration"
    DOCUMENTATION = "documentation"
    AI_ENHANCEMENT = "ai_enhancement"
    WORKFLOW_AUTOMATION = "workflow_automation"
    SECURITY = "security"
    PERFORMANCE = "performance"
    SPECIALIZED_INTEGRATION = "specialized_integration"
    UI_EXTENSION = "ui_extension"
    DATA_PROCESSING = "data_processing"
    COMMUNICATION = "communication"


class ToolInfo(Model):
    """A named operation of a plugin; what agents see over MCP."""

    name: ToolName
    description: Annotated[str, Field(min_length=1, max_length=2_000)]
    input_schema: dict[str, JsonValue] = {"type": "object"}
    """JSON Schema 2020-12 of the input."""
    output_schema: dict[str, JsonValue] | None = None
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False


class PluginInfo(Model):
    """The specification's fields, and what a plugin needs beside them."""

    plugin_id: PluginId
    name: Annotated[str, Field(min_length=1, max_length=100)]
    version: Version
    author: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str, Field(min_length=1, max_length=2_000)]
    category: Annotated[PluginCategory, Field(strict=False)]
    dependencies: tuple[Dependency, ...] = ()
    permissions: tuple[Permission, ...] = ()
    entry_point: Annotated[str, Field(min_length=1, max_length=500)]
    """`module:Class` for the Python SDK; for other languages the command."""
    config_schema: dict[str, JsonValue] = {"type": "object", "additionalProperties": False}
    """JSON Schema 2020-12 of `spec.config`; by default a plugin takes none."""
    min_core_version: Version = "0.1.0"
    max_core_version: Version | None = None
    limits: ResourceLimits = ResourceLimits()
    tools: tuple[ToolInfo, ...] = ()
    publishes: tuple[EventType, ...] = ()
    subscribes: tuple[EventType, ...] = ()
    secrets: tuple[Name, ...] = ()
    license: str | None = None
    homepage: str | None = None
    changelog: str | None = None
    migrations: dict[str, str] = {}
    deprecated: str | None = None

    @model_validator(mode="after")
    def _no_twins(self) -> Self:
        lists: dict[str, list[Any]] = {
            "permissions": [permission.kind for permission in self.permissions],
            "tools": [tool.name for tool in self.tools],
            "dependencies": [parse_dependency(text)[0] for text in self.dependencies],
            "secrets": list(self.secrets),
        }
        for field, names in lists.items():
            twins = sorted({name for name in names if names.count(name) > 1})
            if twins:
                raise Unexpected(
                    found=f"{', '.join(twins)} more than once",
                    expected="every name once",
                    field=(field,),
                )
        if self.plugin_id in lists["dependencies"]:
            raise Unexpected(
                found="the plugin itself", expected="other plugins", field=("dependencies",)
            )
        return self

    def tool(self, name: str) -> ToolInfo | None:
        """The declared tool of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def asks(self, kind: PermissionKind) -> bool:
        """Whether the plugin asks for that permission at all."""
        return any(permission.kind == kind for permission in self.permissions)
