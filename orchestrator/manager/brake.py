"""Brake: what a revoke does to a plugin that runs, at once and whatever the plugin does.

The one place beside the reconcile loop that touches containers, since an emergency cannot wait for
its turn. It only takes away: sockets, network, a container that holds what was revoked. What comes
instead is the loop's business, which sees all of this as it sees any other end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Final

from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_ROLE, LABEL_SANDBOX, Engine
from orchestrator.manager.access import Access
from orchestrator.manager.actions import WHOLE
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.observe import Observer
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.permissions import PermissionKind
from orchestrator.policy.baseline import SECRETS_TARGET, SOCKETS_TARGET

CutNetwork = Callable[[str], Awaitable[None]]
"""Take a plugin off its network now; quiet if it has none."""

WORDS: Final = "revoking"
START_SECONDS: Final = 3.0
"""How long a start that was under way is watched for the container that comes of it."""
POLL_SECONDS: Final = 0.05
_ALIVE: Final = frozenset({ContainerPhase.RUNNING, ContainerPhase.PAUSED})


class Brake:
    """`cut` needs no waiting; `pull` returns when nothing is left of what was revoked."""

    def __init__(
        self,
        *,
        labels: Mapping[str, str],
        engine: Engine,
        fleet: Fleet,
        observer: Observer,
        access: Access,
        cut_network: CutNetwork,
    ) -> None:
        self._labels = labels
        self._engine = engine
        self._fleet = fleet
        self._observer = observer
        self._access = access
        self._cut_network = cut_network

    def cut(self, plugin_id: str, kind: PermissionKind) -> None:
        """Close what a broker holds."""
        self._access.cut(plugin_id, kind)

    def release(self, plugin_id: str, kind: PermissionKind) -> None:
        """The next sandbox may have it again."""
        self._access.lift(plugin_id, kind)

    async def mend(self, deployment: Deployment) -> None:
        """What is wanted again may still run: nothing else would open again what was cut."""
        for index in range(deployment.replicas):
            await self._access.mend(deployment.replica(index), self._fleet.policy)

    async def pull(self, old: Deployment, new: Deployment, kind: PermissionKind) -> None:
        """Take the network, and the container if it holds more than `new` may have.

        Raises EngineUnavailable.
        """
        try:
            if kind is PermissionKind.NETWORK_ACCESS:
                await self._cut_network(old.plugin_id)
        finally:  # the one does not wait for the other's success
            allowed = self._allowed(old, new)
            if old.compiled.digest not in allowed or self._others(old.plugin_id, allowed):
                await self._take(old.plugin_id, allowed)

    def _allowed(self, old: Deployment, new: Deployment) -> set[str]:
        """Digests of the revisions that may run on: each as it would be made today."""
        allowed = {new.compiled.digest, *self._fleet.earlier.get(new.plugin_id, {})}
        if _holds(old) == _holds(new):
            allowed.add(old.compiled.digest)
        return allowed

    def _others(self, plugin_id: str, allowed: set[str]) -> bool:
        """Whether another revision runs, which an update has not replaced yet."""
        containers = self._fleet.containers.values()
        mine = (c for c in containers if c.label(LABEL_PLUGIN) == plugin_id)
        return any(_is_old(container, allowed) for container in mine)

    async def _take(self, plugin_id: str, allowed: set[str]) -> None:
        mine = WHOLE not in self._fleet.busy.get(plugin_id, ())
        if mine:
            self._fleet.busy.begin(plugin_id, WHOLE, WORDS)
        try:
            await self._kill(plugin_id, allowed)
        finally:
            if mine:
                self._fleet.busy.end(plugin_id, WHOLE)
            self._observer.doubt_all()

    async def _kill(self, plugin_id: str, allowed: set[str]) -> None:
        """A start that was under way may still bring up a container of the old revision."""
        loop = asyncio.get_running_loop()
        until = loop.time() + START_SECONDS
        while True:
            for container in await self._engine.list({**self._labels, LABEL_PLUGIN: plugin_id}):
                if _is_old(container, allowed):
                    await self._end(container)
            starting = self._fleet.busy.get(plugin_id, {}).keys() - {WHOLE}
            if not starting or loop.time() > until:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _end(self, container: ContainerState) -> None:
        await self._engine.stop(container.container_id, grace_seconds=0)
        ended = await self._engine.inspect(container.container_id)
        if ended is not None:
            self._fleet.excuse(ended)
        sandbox = self._fleet.sandboxes.pop(container.label(LABEL_SANDBOX), None)
        if sandbox is not None:
            sandbox.died()
            sandbox.close(remove_folder=False)
        self._access.close(container.label(LABEL_SANDBOX))


def _is_old(container: ContainerState, allowed: set[str]) -> bool:
    """A plugin's own container that runs, of none of the revisions that may."""
    return (
        container.phase in _ALIVE
        and not container.label(LABEL_ROLE)
        and container.label(LABEL_DIGEST) not in allowed
    )


def _holds(deployment: Deployment) -> dict[str, object]:
    """What the container itself gives: not what it is told, and not what brokers hold."""
    spec = deployment.compiled.spec
    return {
        **asdict(spec),
        "environment": None,
        "seccomp_profile": None,  # which sockets may be made: they lead nowhere by themselves
        "bind_mounts": [
            mount
            for mount in spec.bind_mounts
            if mount.target not in {SOCKETS_TARGET, SECRETS_TARGET}
        ],
    }
