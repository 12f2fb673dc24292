"""Builders of values that say only what a test is about; the rest is plausible and plain."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.base import (
    LABEL_DIGEST,
    LABEL_PLUGIN,
    LABEL_SANDBOX,
    LABEL_VERSION,
)
from orchestrator.manager.deployment import Deployment, Inputs, Place, weigh
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.compile import Site

SHARES = {
    "docs": {"path": "/srv/docs", "write": False},
    "media": {"path": "/srv/media", "write": True},
    "work": {"path": "/srv/work", "write": True},
}
DATABASES = {
    "logs": {"kind": "redis", "address": "cache:6379"},
    "main": {"kind": "postgresql", "address": "/run/postgresql/.s.PGSQL.5432"},
}


class Make:
    """All builders; keywords replace the plain values."""

    profile = '{"defaultAction":"SCMP_ACT_ERRNO"}'

    def info(self, **fields: Any) -> PluginInfo:
        plain: dict[str, Any] = {
            "plugin_id": "notes",
            "name": "Notes",
            "version": "1.2.3",
            "author": "Somebody",
            "description": "Keeps notes.",
            "category": "documentation",
            "entry_point": "notes:Notes",
        }
        return PluginInfo(**plain | fields)

    def manifest(self, *permissions: Any, name: str = "notes", **spec: Any) -> PluginManifest:
        return PluginManifest.model_validate(
            {
                "apiVersion": "orchestrator/v1",
                "kind": "Plugin",
                "metadata": {"name": name},
                "spec": {"source": {"image": name}, "permissions": permissions, **spec},
            }
        )

    def policy(self, **fields: Any) -> SecurityPolicy:
        return SecurityPolicy.model_validate({"shares": SHARES, "databases": DATABASES, **fields})

    def site(self, **fields: Any) -> Site:
        plain: dict[str, Any] = {
            "prefix": "orchestrator-home",
            "sockets_root": "/state/sockets",
            "secrets_root": "/memory/secrets",
            "shares": {name: share["path"] for name, share in SHARES.items()},
            "seccomp_profile": self.profile,
        }
        return Site(**plain | fields)

    def inputs(
        self,
        *permissions: Any,
        info: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Inputs:
        """What asks for all that it is granted."""
        about = self.info(**{"permissions": permissions, **(info or {})})
        plain: dict[str, Any] = {
            "info": about,
            "manifest": self.manifest(*permissions, name=about.plugin_id, **(spec or {})),
            "config": {},
            "image": "sha256:1",
            "build_folder": "",
            "origin": f"/manifests/{about.plugin_id}.yaml",
            "shares": {name: share["path"] for name, share in SHARES.items()},
            "secret_files": {},
        }
        return Inputs(**plain | fields)

    def place(self, **fields: Any) -> Place:
        plain: dict[str, Any] = {
            "instance": "home",
            "owner": "0a1b",
            "sockets_root": "/state/sockets",
            "secrets_root": "/memory/secrets",
            "seccomp_profile": self.profile,
        }
        return Place(**plain | fields)

    def deployment(self, *permissions: Any, **fields: Any) -> Deployment:
        return weigh(self.inputs(*permissions, **fields), self.policy(), self.place())

    def container(
        self, deployment: Deployment, phase: ContainerPhase = ContainerPhase.RUNNING, **fields: Any
    ) -> ContainerState:
        """The container that `deployment` wants, as an engine shows it."""
        compiled = deployment.compiled
        labels = {
            LABEL_PLUGIN: deployment.plugin_id,
            LABEL_VERSION: deployment.inputs.info.version,
            LABEL_SANDBOX: compiled.sandbox_id,
            LABEL_DIGEST: compiled.digest,
        }
        plain: dict[str, Any] = {
            "container_id": f"id-{compiled.sandbox_id}",
            "name": compiled.container_name,
            "labels": tuple((labels | fields.pop("labels", {})).items()),
            "phase": phase,
            "cpu_percent": compiled.spec.cpu_percent,
        }
        return ContainerState(**plain | fields)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@dataclass
class FakeClock:
    """Stands still until a test moves it."""

    at: float = 1_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter, for tests that kill one."""
    return sys.executable
