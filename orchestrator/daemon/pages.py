"""The part of the composition root through which callers and browsers come to plugins."""

import secrets

from orchestrator.daemon.router import ManagerRouter
from orchestrator.engine.base import Engine
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.plugin_logs import PluginLogs
from orchestrator.server.gate import Gate
from orchestrator.server.logs_web import LogsWeb
from orchestrator.server.ui import GrantedPages, UiKeys, has_pages
from orchestrator.server.ui_server import UiListener


def ways_in(manager: PluginManager, engine: Engine) -> tuple[Gate, UiListener, PluginLogs]:
    """The gate to the plugins, the listener that shows their pages through it, and their logs.

    The secrets live as long as the daemon: what was seen of its keys is worth nothing later.
    """
    gate = Gate(ManagerRouter(manager))

    def wanted() -> int | None:
        fleet = manager.fleet
        # Who has it measured looks at boards, which lead to the logs.
        watched = web.wanted or fleet.monitoring.address
        shown = watched or any(map(has_pages, fleet.deployments.values()))
        return manager.policy.ui.port if shown else None

    logs = PluginLogs(manager=manager, engine=engine)
    web = LogsWeb(logs=logs, key=secrets.token_hex(32))
    keys = UiKeys(secrets.token_bytes(32))
    pages = GrantedPages(manager, gate)
    return gate, UiListener(pages=pages, keys=keys, logs=web, wanted=wanted), logs
