"""The part of the composition root through which callers and browsers come to plugins."""

import secrets

from orchestrator.daemon.router import ManagerRouter
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.manager import PluginManager
from orchestrator.server.gate import Gate
from orchestrator.server.ui import GrantedPages, UiKeys, has_pages
from orchestrator.server.ui_server import UiListener


def ways_in(manager: PluginManager, clerk: Clerk) -> tuple[Gate, UiListener]:
    """The gate to the plugins, and the listener that shows their pages through it.

    The secret lives as long as the daemon: what was seen of its keys is worth nothing later.
    """
    gate = Gate(ManagerRouter(manager, clerk))

    def wanted() -> int | None:
        deployments = manager.fleet.deployments.values()
        return manager.policy.ui.port if any(map(has_pages, deployments)) else None

    keys = UiKeys(secrets.token_bytes(32))
    return gate, UiListener(pages=GrantedPages(manager, gate), keys=keys, wanted=wanted)
