"""What a gone instance left is removed; what a live one has, or carries no label of ours, stays."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance import Instance, engine, eventually, new_name
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

DISK = {"permissions": ["file_system_write"], "limits": {"max_disk_mb": 8}}


@pytest.fixture
def instances(tmp_path: Path, binary: Path, images: None) -> Iterator[dict[str, Instance]]:
    """`keeper` looks for orphans after a second; `dead` is to lose its folder; `live` is not."""
    made = {name: Instance(tmp_path / name, new_name()) for name in ("keeper", "dead", "live")}
    for name, instance in made.items():
        asks = {"permissions": ["file_system_write"]} if name == "dead" else {}
        Workshop(instance, binary).small(
            "e2e-orphan", info=asks, **(DISK if name == "dead" else {})
        )
    yield made
    for instance in made.values():
        instance.destroy()
        instance.purge()


@pytest.fixture
def strangers(instances: dict[str, Instance]) -> Iterator[dict[str, str]]:
    """Containers that nobody may touch, made by hand from the plugin's own image."""
    made = {}
    with engine() as client:
        for name, labels in {
            "without labels": {},
            "with an owner's label alone": {"orchestrator.owner": "00000000"},
        }.items():
            config = {"Image": _image(client), "Entrypoint": ["/plugin/c-echo"], "Labels": labels}
            made[name] = client.create_container_from_config(config, f"{new_name()}-bystander")[
                "Id"
            ]
        yield made
        for container_id in made.values():
            client.remove_container(container_id, force=True)


def _image(client: Any) -> str:
    tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
    return next(tag for tag in tags if tag.startswith("orchestrator/e2e-orphan"))


def test_only_what_a_gone_instance_left_is_removed(
    instances: dict[str, Instance], request: pytest.FixtureRequest
) -> None:
    dead, live, keeper = (instances[name] for name in ("dead", "live", "keeper"))
    dead.up()
    live.up()
    strangers: dict[str, str] = request.getfixturevalue("strangers")
    left = dead.containers(), dead.volumes(), dead.loop_devices()
    secrets = Path(f"/run/orchestrator/{dead.name}-{_owner(dead)}")
    os.kill(dead.daemon_pid(), signal.SIGKILL)
    eventually(lambda: not dead.processes())
    shutil.rmtree(dead.home)
    row = _doctor(keeper)
    keeper.policy(reconcile={"orphan_grace_minutes": 0.02})
    keeper.up("--config", str(keeper.config))
    eventually(lambda: not dead.containers() and not dead.volumes(), seconds=60)
    with engine() as client:
        bystanders = [client.inspect_container(it)["State"]["Status"] for it in strangers.values()]

    assert [len(it) for it in left] == [1, 1, 1]
    assert row["verdict"] == "warning"
    assert (
        f"of instance {dead.name}, whose state folder {dead.home / dead.name} is gone"
        in (row["found"])
    )
    assert live.name not in row["found"]
    assert eventually(lambda: not dead.left_over())
    assert not secrets.exists()
    assert bystanders == ["created", "created"]
    live.call("e2e-orphan", {"still": "there"})
    keeper.call("e2e-orphan", {"still": "there"})


def _owner(instance: Instance) -> str:
    with engine() as client:
        [container_id] = instance.containers().values()
        labels = client.inspect_container(container_id)["Config"]["Labels"]
    owner: str = labels["orchestrator.owner"]
    return owner


def _doctor(instance: Instance) -> dict[str, Any]:
    rows = json.loads(instance.run("doctor", "--json", expect=None).stdout)
    found: dict[str, Any] = next(row for row in rows if row["check"] == "orphans")
    return found
