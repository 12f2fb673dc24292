"""explain: what a grant means, in plain words, one sentence each."""

from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    Permission,
    PluginCommunication,
    SystemInfo,
    UserInterface,
)
from orchestrator.policy.grant import Grant


def explain(grant: Grant) -> tuple[str, ...]:
    """What the plugin may do, then what it asked for and does not get."""
    may = tuple(sentence(permission, grant) for permission in grant.permissions)
    nothing = ("may compute, and nothing else",) if not may else ()
    withheld = tuple(
        f"asked for {held.permission} and does not get it"
        + (f" (wanted: {held.reason})" if held.reason else "")
        for held in grant.withheld
    )
    return (*nothing, *may, *withheld)


def sentence(permission: Permission, grant: Grant) -> str:  # noqa: C901, PLR0911 - one case each
    """What one permission lets this plugin do."""
    match permission:
        case FileSystemRead(shares=shares):
            return f"may read the shares {_names(shares)} under /mnt"
        case FileSystemWrite(shares=shares):
            text = f"may keep up to {grant.limits.max_disk_mb} MiB of its own under /data"
            return text + (f" and change the shares {_names(shares)} under /mnt" if shares else "")
        case NetworkAccess(allow=allow, ports=ports):
            where = _names(allow) if allow else "public addresses"
            what = f" on ports {_names(tuple(str(port) for port in ports))}" if ports else ""
            return f"may open network connections to {where}{what}"
        case DatabaseAccess(databases=databases):
            return f"may talk to the databases {_names(databases)}"
        case SystemInfo():
            return "may see the host's load, memory, processors and counters (read-only)"
        case PluginCommunication(plugins=plugins):
            more = f" and {_names(plugins)}" if plugins else ""
            return f"may publish events and call its dependencies{more}"
        case ExternalApi(hosts=hosts):
            return f"may send HTTP requests to {_names(hosts)}"
        case UserInterface():
            return f"may show pages under /plugins/{grant.info.plugin_id}/ui/"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "(none)"
