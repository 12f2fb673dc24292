"""A forge: a git repository with plugins in it, and an instance that follows it on a real engine.

Revisions differ in limits alone where they can, so that each image is built once.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.git import Repo
from tests.support.instance import PLUGINS, Instance, eventually

_SCRATCH = """\
FROM scratch
COPY c-echo plugin.yaml /plugin/
WORKDIR /plugin
USER 65532:65532
"""


class Forge:
    """The repository, and the instance that follows it; `config` is its orchestrator.yaml."""

    def __init__(self, instance: Instance, binary: Path, repo: Repo, **config: Any) -> None:
        self.instance = instance
        self.repo = repo
        self.binary = binary
        instance.config.write_text(yaml.safe_dump(config))

    def plugin(self, name: str, *, memory: int = 32, entry: str = "c-echo") -> None:
        folder = self.repo.folder / "plugins" / name
        folder.mkdir(parents=True, exist_ok=True)
        info = yaml.safe_load((PLUGINS / "c_echo" / "plugin.yaml").read_text())
        (folder / "plugin.yaml").write_text(
            yaml.safe_dump({**info, "plugin_id": name, "entry_point": f"/plugin/{entry}"})
        )
        (folder / "Dockerfile").write_text(_SCRATCH)
        shutil.copy2(self.binary, folder / "c-echo")
        self.repo.write({f"manifests/{name}.yaml": manifest(name, f"../plugins/{name}", memory)})

    def push(self, subject: str) -> str:
        return self.repo.commit(subject=subject)

    def status(self) -> dict[str, Any]:
        done = self.instance.run("gitops", "status", "--json", expect=None)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def synced(self, sha: str) -> dict[str, Any]:
        def check() -> dict[str, Any] | None:
            status = self.status()
            return status if status["synced"] == sha and not status["moving"] else None

        answer: dict[str, Any] = eventually(check, seconds=60)
        return answer

    def stands(self, state: str) -> dict[str, Any] | None:
        """The status, once nothing moves and it is that."""
        status = self.status()
        return status if status["state"] == state and not status["moving"] else None

    def memory_mb(self, name: str) -> int:
        found: int = self.instance.inspect(name)["HostConfig"]["Memory"]
        return found >> 20


def manifest(name: str, build: str, memory: int) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "orchestrator/v1",
            "kind": "Plugin",
            "metadata": {"name": name},
            "spec": {"source": {"build": build}, "limits": {"max_memory_mb": memory}},
        }
    )
