"""PermissionHouse: a daemon on in-memory backends with one plugin, for tests of its permissions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from orchestrator.clock import Clock, SystemClock
from orchestrator.daemon.backends import Backends, place_of
from orchestrator.daemon.build import Daemon, build
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.memory_stores import MemoryImages, MemoryVolumes
from orchestrator.engine.pausing import MemoryPausing
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.permissions import PermissionSystem
from orchestrator.manager.statuses import status
from orchestrator.model.container import ContainerPhase
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.status import PluginStatus

READ, API, TALK = (
    PermissionKind.FILE_SYSTEM_READ,
    PermissionKind.EXTERNAL_API,
    PermissionKind.PLUGIN_COMMUNICATION,
)
ASKED: list[Any] = [
    {"file_system_read": {"shares": ["docs"]}},
    {"external_api": {"hosts": ["a.example:443", "b.example:443"]}},
    "network_access",
]


class PermissionHouse:
    """One daemon whose plugin `notes` is what the test writes; its loop does not run."""

    def __init__(self, folder: Path) -> None:
        self.settings = DaemonSettings(home=folder / "home")
        self.engine = MemoryEngine()
        self.clock: Clock = SystemClock()
        self.images = MemoryImages()
        self.networks = MemoryNetworks()
        self.volumes = MemoryVolumes()
        self.config = folder / "orchestrator.yaml"
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        (folder / "docs").mkdir()
        self.policy(shares={"docs": {"path": str(folder / "docs")}})
        self.daemon: Daemon

    def policy(self, **fields: Any) -> None:
        self.config.write_text(yaml.safe_dump({"policy": fields}))

    def plugin_text(self, plugin_id: str, *, permissions: Any = ASKED, **info: Any) -> bytes:
        about = {
            "plugin_id": plugin_id,
            "name": "Notes",
            "version": "1.0.0",
            "author": "Somebody",
            "description": "Keeps notes.",
            "category": "documentation",
            "entry_point": "notes:Notes",
            "permissions": permissions,
            **info,
        }
        return yaml.safe_dump(about).encode()

    def plugin(self, **about: Any) -> None:
        text = self.plugin_text("notes", **about)
        self.images.add("notes:1", files={"/plugin/plugin.yaml": text})

    def manifest(self, *permissions: Any, **spec: Any) -> None:
        (self.manifests / "notes.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "orchestrator/v1",
                    "kind": "Plugin",
                    "metadata": {"name": "notes"},
                    "spec": {
                        "source": {"image": "notes:1"},
                        "permissions": [*permissions],
                        **spec,
                    },
                }
            )
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PermissionHouse"]:
        """A daemon; a second one is what a restart brings."""
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        async with build(
            self.settings, self.backends, clock=self.clock, shut_down=lambda: None
        ) as self.daemon:
            yield self

    @property
    def backends(self) -> Backends:
        return Backends(
            engine=self.engine,
            probe=self.engine,
            images=self.images,
            volumes=self.volumes,
            disks=self.volumes,
            networks=self.networks,
            shares=ShareMounts(self.settings.share_mounts, address="memory://"),
            pausing=MemoryPausing(self.engine),
            content=self.volumes,
        )

    async def up(self) -> None:
        await self.daemon.manager.apply([self.manifests], self.config)

    @property
    def system(self) -> PermissionSystem:
        return self.daemon.permissions

    @property
    def deployment(self) -> Deployment:
        return self.daemon.manager.deployment("notes")

    @property
    def has(self) -> dict[str, Any]:
        return {permission.kind: permission for permission in self.deployment.grant.permissions}

    async def runs(self) -> str:
        """A container of the present revision, as if the loop had started it; its id."""
        compiled = self.deployment.compiled
        labels = {
            **self.labels,
            LABEL_PLUGIN: "notes",
            LABEL_SANDBOX: compiled.sandbox_id,
            LABEL_DIGEST: compiled.digest,
        }
        name = compiled.container_name
        container_id = await self.engine.create(compiled.spec, name=name, labels=labels)
        await self.engine.start(container_id)
        return container_id

    @property
    def prefix(self) -> str:
        """Of the names of what the engine holds for this daemon."""
        return place_of(self.settings).prefix

    @property
    def labels(self) -> dict[str, str]:
        return {
            "orchestrator.instance": self.settings.instance,
            "orchestrator.owner": self.settings.owner,
        }

    async def phase(self, container_id: str) -> ContainerPhase:
        container = await self.engine.inspect(container_id)
        assert container is not None
        return container.phase

    async def exit_code(self, container_id: str) -> int | None:
        """Of its last run; None while it runs."""
        container = await self.engine.inspect(container_id)
        assert container is not None
        return container.exit_code

    def audited(self, action: str) -> list[tuple[Any, ...]]:
        """(outcome, who, why, what) of each record."""
        return [
            (e["outcome"], e["actor"], e["why"], e["data"].get("user"), e["data"].get("permission"))
            for record in self.daemon.audit.read()
            if (e := dict(record.entry))["action"] == action
        ]

    @property
    def row(self) -> PluginStatus:
        found = status(self.daemon.manager.fleet, "notes")
        assert found is not None
        return found

    async def revoke(self, permission: PermissionKind = READ) -> bool:
        return await self.system.revoke_permission("notes", permission, who="ada", why="it leaks")
