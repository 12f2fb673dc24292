"""Secrets from four places in a real container; a new value of one, while calls go on."""

import json
import threading
import time
from pathlib import Path

import pyrage
import pytest

from orchestrator.client.client import DaemonClient
from orchestrator.model.yaml_text import dump_yaml
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop
from tests.unit.manager.sops_house import encrypted

pytestmark = pytest.mark.docker

USER, OTHER = "e2e-secret-user", "e2e-no-secret-user"
OLD, NEW = "0ld-and-never-shown", "n3w-and-never-shown"
FIXED = {"variable": "fr0m-a-variable", "sops": "fr0m-a-file-of-sops", "file": "fr0m-a-file"}

CODE = """
from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    @tool
    def secrets(self):
        names = ("token", "variable", "sops", "file")
        return {name: open(f"/run/secrets/{name}").read() for name in names}
"""


class Caller:
    """Calls all the time, in a thread of its own."""

    def __init__(self, instance: Instance) -> None:
        self._client = DaemonClient(instance.home / instance.name / "daemon.sock")
        self._end = threading.Event()
        self.answers: list[dict[str, str]] = []
        self.failures: list[bytes] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            result = self._client.call(
                USER, b"{}", content_type="application/json", tool="secrets", timeout_seconds=10
            )
            if result.status == 200:
                self.answers.append(json.loads(result.body))
            else:
                self.failures.append(result.body)
            time.sleep(0.02)

    def __enter__(self) -> "Caller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def instance(workshop: Workshop, tmp_path: Path, identity: pyrage.x25519.Identity) -> Instance:
    """Up, with a plugin that has four secrets, and one that has none."""
    instance = workshop.instance
    key = tmp_path / "age.key"
    key.touch(mode=0o600)
    key.write_text(str(identity))
    instance.variables["ORCHESTRATOR_AGE_KEY_FILE"] = str(key)
    instance.variables["ORCHESTRATOR_SECRET_TOKEN"] = FIXED["variable"]
    instance.policy(reconcile={"full_pass_seconds": 1}, rollout={"min_healthy_seconds": 0.5})
    put(instance, OLD, identity)
    sealed = encrypted({"db": {"password": FIXED["sops"]}}, identity.to_public())
    (instance.manifests / "sealed").mkdir()
    (instance.manifests / "sealed" / "prod.yaml").write_text(dump_yaml(sealed))
    (instance.manifests / "plain.txt").write_text(FIXED["file"])
    secrets = {
        "token": {"age": "token.age"},
        "variable": {"environment": "TOKEN"},
        "sops": {"sops": "sealed/prod.yaml", "key": "db.password"},
        "file": {"file": "plain.txt"},
    }
    info = {"secrets": [*secrets], "tools": [{"name": "secrets", "description": "Reads."}]}
    workshop.script(USER, CODE, info=info, secrets=secrets)
    workshop.small(OTHER)
    instance.up()
    return instance


def put(instance: Instance, value: str, identity: pyrage.x25519.Identity) -> None:
    sealed = pyrage.encrypt(value.encode(), [identity.to_public()], armored=True)
    (instance.manifests / "token.age").write_bytes(sealed)


def test_a_new_value_reaches_its_user_alone_and_no_call_fails(
    instance: Instance, identity: pyrage.x25519.Identity
) -> None:
    first = instance.call(USER, tool="secrets")
    other = instance.containers_of(OTHER)
    unchanged = instance.plan(expect=0)
    with Caller(instance) as caller:
        put(instance, NEW, identity)
        eventually(lambda: caller.answers and caller.answers[-1]["token"] == NEW)
        eventually(lambda: len(instance.containers_of(USER)) == 1)

    assert first == {**FIXED, "token": OLD}
    assert {change["change"] for change in unchanged} == {"none"}
    assert caller.failures == []
    assert {answer["token"] for answer in caller.answers} == {OLD, NEW}
    assert instance.containers_of(OTHER) == other
    assert _told(instance) == []


def _told(instance: Instance) -> list[str]:
    """Values that anything holds which is said or kept."""
    commands = (
        ("plan", "--json", str(instance.manifests)),
        ("status", USER, "--json"),
        ("audit", "export"),
    )
    said = [instance.run(*words, expect=None).stdout.encode() for words in commands]
    kept = [path.read_bytes() for path in instance.home.rglob("*") if path.is_file()]
    everything = b"\0".join([*said, json.dumps(instance.inspect(USER)).encode(), *kept])
    return [value for value in (OLD, NEW, *FIXED.values()) if value.encode() in everything]
