"""The eight permissions of the specification, each with its parameters.

In a file a permission is a plain name (`system_info`) or a mapping of its name to its parameters
(`external_api: {hosts: ["api.example.com:443"]}`).
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from orchestrator.model.base import Model, Name, PluginId, Unexpected


class PermissionKind(StrEnum):
    """The closed list; anything else is refused by name."""

    FILE_SYSTEM_READ = "file_system_read"
    FILE_SYSTEM_WRITE = "file_system_write"
    NETWORK_ACCESS = "network_access"
    DATABASE_ACCESS = "database_access"
    SYSTEM_INFO = "system_info"
    PLUGIN_COMMUNICATION = "plugin_communication"
    EXTERNAL_API = "external_api"
    USER_INTERFACE = "user_interface"


HOST_PATTERN = r"^(\*\.)?[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?:[1-9][0-9]{0,4}$"

Host = Annotated[str, Field(pattern=HOST_PATTERN)]
"""`host:port` or `*.host:port`, lower case."""
ONE_HOST_PATTERN = r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?:[1-9][0-9]{0,4}$"
OneHost = Annotated[str, Field(pattern=ONE_HOST_PATTERN)]
"""`host:port`, lower case."""
Port = Annotated[int, Field(ge=1, le=65_535)]


class _Permission(Model):
    required: bool = False
    """Whether the plugin refuses to start without it (in plugin.yaml only)."""
    reason: Annotated[str, Field(max_length=300)] = ""
    """Why the plugin asks, for the person who decides (in plugin.yaml only)."""


class FileSystemRead(_Permission):
    """Named shares of the operator at /mnt/<share>, read-only."""

    kind: Literal["file_system_read"] = "file_system_read"
    shares: tuple[Name, ...] = ()
    any_owner: bool = False
    """Read files whatever their owner (capability DAC_READ_SEARCH)."""


class FileSystemWrite(_Permission):
    """An own volume at /data, and named shares read-write where policy says so."""

    kind: Literal["file_system_write"] = "file_system_write"
    shares: tuple[Name, ...] = ()


class NetworkAccess(_Permission):
    """A bridge network of its own behind a guard; host, other plugins and metadata stay shut."""

    kind: Literal["network_access"] = "network_access"
    allow: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    raw: bool = False
    low_ports: bool = False


class DatabaseAccess(_Permission):
    """A socket to each named database of the policy."""

    kind: Literal["database_access"] = "database_access"
    databases: tuple[Name, ...] = ()


class SystemInfo(_Permission):
    """A read-only view of the host's /proc and /sys."""

    kind: Literal["system_info"] = "system_info"


class PluginCommunication(_Permission):
    """Publish events and call other plugins through host.sock."""

    kind: Literal["plugin_communication"] = "plugin_communication"
    plugins: tuple[PluginId, ...] = ()
    """Plugins that may be called beside the declared dependencies."""


class ExternalApi(_Permission):
    """HTTP to the named hosts through the egress broker; still no network."""

    kind: Literal["external_api"] = "external_api"
    hosts: tuple[Host, ...] = ()


class UserInterface(_Permission):
    """Pages under /plugins/<id>/ui/."""

    kind: Literal["user_interface"] = "user_interface"


def _from_shorthand(value: Any) -> Any:
    """`name` and `{name: {parameters}}` as pydantic's tagged form `{kind: name, …}`."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and len(value) == 1 and "kind" not in value:
        [(kind, parameters)] = value.items()
        return {"kind": kind, **_parameters(kind, parameters)}
    return _with_tuples(value) if isinstance(value, dict) else value


def _parameters(kind: str, parameters: Any) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Unexpected(
            found=f"{kind} with something that is no mapping", expected="a mapping of parameters"
        )
    if "kind" in parameters:
        # It would override the permission's name: `system_info: {kind: network_access}`.
        raise Unexpected(found=f"'kind' among the parameters of {kind}", expected="no such field")
    return _with_tuples(parameters)


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists as tuples: strict validation after a before-validator takes nothing else for one."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


Permission = Annotated[
    FileSystemRead
    | FileSystemWrite
    | NetworkAccess
    | DatabaseAccess
    | SystemInfo
    | PluginCommunication
    | ExternalApi
    | UserInterface,
    Field(discriminator="kind"),
    BeforeValidator(_from_shorthand),
]
"""One thing asked (in plugin.yaml) or granted (in a manifest)."""
