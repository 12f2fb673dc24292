"""Access: the brokers behind a sandbox's sockets, opened with it and closed with it.

Each permission that a broker holds is one more socket in the sandbox's folder; closing the broker
takes the permission away at once, whatever the plugin does.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from orchestrator.clock import Clock
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.credentials import injections
from orchestrator.manager.databases import database_targets
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.meters import Meters
from orchestrator.manager.secrets import SecretReader
from orchestrator.model.audit import Auditor
from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    Permission,
    PermissionKind,
    PluginCommunication,
)
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.grant import Grant
from orchestrator.sandbox.broker import Broker
from orchestrator.sandbox.database_broker import DatabaseBroker
from orchestrator.sandbox.egress_broker import EgressBroker
from orchestrator.sandbox.egress_policy import EgressRules, Injection
from orchestrator.sandbox.egress_uplink import Uplink
from orchestrator.sandbox.host_api import HostBounds, HostGrant, Neighbours
from orchestrator.sandbox.host_broker import HostBroker
from orchestrator.sandbox.party_counts import Counts


class HostUnusable(OrchestratorError):
    """A granted host that could be read in two ways, or in none."""

    kind, code = Kind.INVALID, "host_unusable"


def egress_rules(
    hosts: tuple[str, ...],
    policy: SecurityPolicy,
    inject: Mapping[str, Injection] = MappingProxyType({}),
) -> EgressRules:
    """Raises HostUnusable: asked before anything starts, and again when the broker opens."""
    try:
        return EgressRules.of(
            hosts=hosts, allowed_private=policy.egress.allowed_private, inject=inject
        )
    except ValueError as error:
        raise HostUnusable(f"external_api.hosts: {error}") from error


def check_hosts(grant: Grant, policy: SecurityPolicy) -> None:
    """Raises HostUnusable."""
    for permission in grant.permissions:
        if isinstance(permission, ExternalApi):
            egress_rules((*permission.hosts, *(it.host for it in grant.injected)), policy)


class Access:
    """Brokers by sandbox; those of one plugin count on one meter."""

    def __init__(
        self,
        *,
        auditor: Auditor,
        clock: Clock,
        neighbours: Neighbours,
        uplink: Uplink,
        meters: Meters,
        counts: Counts | None = None,
        secrets: SecretReader,
    ) -> None:
        self._counts = counts or Counts()
        self._auditor = auditor
        self._clock = clock
        self._neighbours = neighbours
        self._uplink = uplink
        self._open: dict[str, list[tuple[str, Permission, Broker]]] = {}
        """Sandbox → (plugin, what it was granted, what holds it)."""
        self._cut: set[tuple[str, PermissionKind]] = set()
        """(plugin, permission): a step that began before the revoke must not open it again."""
        self._maimed: set[str] = set()
        """Sandboxes that run on though something of theirs was cut."""
        self._meters = meters
        self._secrets = secrets

    async def open(self, deployment: Deployment, policy: SecurityPolicy) -> None:
        """Listen for every granted permission that a broker holds; again after a restart."""
        sandbox_id = deployment.compiled.sandbox_id
        self.close(sandbox_id)
        brokers = self._open[sandbox_id] = []
        for permission in deployment.grant.permissions:
            broker = self._broker(permission, deployment, policy)
            key = (deployment.plugin_id, PermissionKind(permission.kind))
            if broker is not None and key not in self._cut:
                brokers.append((deployment.plugin_id, permission, broker))
                await broker.open(Path(deployment.compiled.sockets_folder))
                if key in self._cut:
                    broker.close()
                    self._maimed.add(sandbox_id)

    def close(self, sandbox_id: str) -> None:
        """End every connection of the sandbox's brokers, at once."""
        self._maimed.discard(sandbox_id)
        for _, _, broker in self._open.pop(sandbox_id, []):
            broker.close()

    def cut(self, plugin_id: str, kind: PermissionKind) -> None:
        """End what holds this one permission, at once; it stays shut until `lift`."""
        self._cut.add((plugin_id, kind))
        for sandbox_id, brokers in self._open.items():
            for owner, permission, broker in brokers:
                if (owner, permission.kind) == (plugin_id, kind):
                    broker.close()
                    self._maimed.add(sandbox_id)

    def lift(self, plugin_id: str, kind: PermissionKind) -> None:
        """Sandboxes that are opened from now on may have it again."""
        self._cut.discard((plugin_id, kind))

    async def mend(self, deployment: Deployment, policy: SecurityPolicy) -> None:
        """Open anew what was cut of a sandbox that still runs and is wanted as it is again."""
        if deployment.compiled.sandbox_id in self._maimed & self._open.keys():
            await self.open(deployment, policy)

    def close_all(self) -> None:
        for sandbox_id in list(self._open):
            self.close(sandbox_id)

    def _broker(
        self, permission: Permission, deployment: Deployment, policy: SecurityPolicy
    ) -> Broker | None:
        match permission:
            case PluginCommunication(plugins=plugins):
                return HostBroker(
                    grant=HostGrant(
                        plugin_id=deployment.plugin_id,
                        publishes=deployment.inputs.info.publishes,
                        callees=frozenset({*deployment.dependencies, *plugins}),
                        max_execution_seconds=deployment.grant.limits.max_execution_time_sec,
                    ),
                    neighbours=self._neighbours,
                    auditor=self._auditor,
                    clock=self._clock,
                    bounds=HostBounds(requests_per_second=policy.host.requests_per_second),
                    counts=self._counts.of(deployment.plugin_id),
                )
            case ExternalApi(hosts=hosts):
                return EgressBroker(
                    plugin_id=deployment.plugin_id,
                    rules=egress_rules(hosts, policy, injections(deployment.inputs, self._secrets)),
                    meter=self._meters.account(deployment, policy).meter,
                    auditor=self._auditor,
                    clock=self._clock,
                    uplink=self._uplink,
                    counts=self._counts.of(deployment.plugin_id),
                )
            case DatabaseAccess(databases=databases):
                return DatabaseBroker(
                    plugin_id=deployment.plugin_id,
                    targets=database_targets(databases, policy),
                    meter=self._meters.account(deployment, policy).meter,
                    auditor=self._auditor,
                    clock=self._clock,
                    counts=self._counts.of(deployment.plugin_id),
                )
            case _:
                return None
