"""Backup and restore through a real engine: all that was there is there again."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from tests.support.instance import Instance, engine
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

PLUGIN = "e2e-keeper"
CODE = """
import os
from pathlib import Path

from orchestrator_sdk import PluginInterface, tool


class Plugin(PluginInterface):
    @tool
    def write(self) -> dict:
        Path("/data/inner").mkdir()
        Path("/data/inner/bytes").write_bytes(bytes(range(256)) * 4_000)
        Path("/data/inner/bytes").chmod(0o600)
        Path("/data/script").write_text("#!/bin/sh")
        Path("/data/script").chmod(0o4751)
        Path("/data/link").symlink_to("/etc/passwd")
        os.link("/data/script", "/data/again")
        with Path("/data/holes").open("wb") as file:
            file.truncate(3 << 20)
        Path("/data/inner").chmod(0o500)
        Path("/data").chmod(0o750)
        return {}

    @tool
    def spoil(self) -> dict:
        Path("/data/script").write_text("changed")
        Path("/data/new").write_text("since")
        return {}

    @tool
    def look(self) -> dict:
        found = {}
        for path in sorted([Path("/data"), *Path("/data").rglob("*")]):
            stat = path.lstat()
            found[str(path)] = [oct(stat.st_mode), stat.st_uid, stat.st_gid, stat.st_nlink]
            if path.is_symlink():
                found[str(path)].append(os.readlink(path))
            elif path.is_file():
                found[str(path)].append(hash_of(path))
        return {"found": found}


def hash_of(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
"""


def backup(instance: Instance, path: Path) -> dict[str, object]:
    made: dict[str, object] = json.loads(
        instance.run("backup", "--output", str(path), "--json").stdout
    )
    return made


@pytest.fixture
def before(workshop: Workshop) -> dict[str, object]:
    """The plugin's data as a plugin sees it; one of its permissions is revoked."""
    workshop.script(
        PLUGIN,
        CODE,
        info={
            "permissions": ["file_system_write", "plugin_communication"],
            "tools": [{"name": name, "description": name} for name in ("write", "spoil", "look")],
        },
        permissions=["file_system_write", "plugin_communication"],
        limits={"max_disk_mb": 8},
    )
    workshop.instance.up()
    workshop.instance.call(PLUGIN, tool="write")
    workshop.instance.run("permissions", "revoke", PLUGIN, "plugin_communication")
    return found(workshop.instance)


def found(instance: Instance) -> dict[str, object]:
    data: dict[str, object] = instance.call(PLUGIN, tool="look")["found"]
    return data


def helpers(instance: Instance) -> list[str]:
    with engine() as client:
        left = client.containers(all=True, filters={"label": "orchestrator.role=volume-content"})
    return [c["Id"] for c in left if c["Labels"].get("orchestrator.instance") == instance.name]


def test_data_state_and_audit_log_are_there_again_after_everything_was_lost(
    workshop: Workshop, tmp_path: Path, before: dict[str, object]
) -> None:
    instance, path = workshop.instance, tmp_path / "backup.tar"
    made = backup(instance, path)
    assert found(instance) == before
    with tarfile.open(path) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        assert hashlib.sha256(manifest.read()).hexdigest() == made["sha256_of_manifest"]

    # Over an instance that runs.
    instance.call(PLUGIN, tool="spoil")
    assert "--yes replaces them" in instance.run("restore", str(path), expect=73).stderr
    instance.run("restore", str(path), "--yes")
    instance.up()
    assert found(instance) == before

    # Into one of which nothing is left but the audit log.
    instance.down(volumes=True)
    assert instance.volumes() == []
    assert f"data of: {PLUGIN}" in instance.run("restore", str(path)).stdout
    instance.up()
    assert found(instance) == before
    assert instance.run("permissions", "check", PLUGIN, "plugin_communication", expect=77)
    records = json.loads(instance.run("audit", "--type", "state", "--json").stdout)
    assert ["restored from" in record["why"] for record in records] == [True, True]
    assert "none changed" in instance.run("audit", "verify").stdout
    assert helpers(instance) == []
