"""psycopg and redis-py in containers without any network, at a real PostgreSQL and a real Redis."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from tests.e2e.databases.conftest import Services
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

MIB = 1 << 20
BRAKE_SECONDS = 1.0
HOSTILE, POURER = "e2e-hostile", "e2e-pourer"
GRANT = {"database_access": {"databases": ["main", "cache"]}}
HOSTILE_GRANT = {"database_access": {"databases": ["cache"]}}
HOSTILE_CODE = """
import errno, socket, time
from orchestrator_sdk import PluginInterface, tool

def dial(path):
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(10)
    end.connect("/run/orchestrator/db/" + path)
    return end

def stands(end):
    try:
        end.sendall(b"PING\\r\\n")
        return end.recv(100) != b""
    except OSError:
        return False

class Plugin(PluginInterface):
    @tool
    def flood(self, count: int):
        ends = [dial("cache/redis.sock") for _ in range(count)]
        standing = sum(map(stands, ends))
        for end in ends:
            end.close()
        return standing

    @tool
    def reach(self, path: str):
        try:
            dial(path)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "reached"

    @tool
    def keep(self):
        # Holds a connection; when it was closed.
        with dial("cache/redis.sock") as end:
            end.settimeout(60)
            end.sendall(b"PING\\r\\n")
            end.recv(100)
            print("HOLDS IT", flush=True)
            try:
                end.recv(100)
            except TimeoutError:
                return 0.0
            except OSError:
                pass
            return time.time()

    @tool
    def pour(self):
        # Redis says 34 bytes to each PING of somebody who gave no password.
        end = dial("cache/redis.sock")
        came = 0
        try:
            while chunk := end.recv(65536) if came or not end.sendall(b"PING\\r\\n") else b"":
                came += len(chunk)
                end.sendall(b"PING\\r\\n" * 100)
        except OSError:
            pass
        return came
"""


def tools(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "description": "For one test.", "input_schema": {"type": "object"}}
        for name in names
    ]


@pytest.fixture(scope="module")
def plugins(
    shared_instance: Instance, shared_workshop: Workshop, services: Services, tmp_path_factory: Any
) -> Instance:
    file = services.password_file(tmp_path_factory.mktemp("secret"))
    shared_instance.policy(databases=services.policy)
    shared_instance.manifest(
        "ledger",
        permissions=[GRANT],
        secrets={name: {"file": file} for name in ("main_password", "cache_password")},
    )
    for name in (HOSTILE, POURER):
        shared_workshop.script(
            name,
            HOSTILE_CODE,
            info={"permissions": [HOSTILE_GRANT], "tools": tools("flood", "keep", "pour", "reach")},
            permissions=[HOSTILE_GRANT],
            limits={"max_network_mb": 1},
        )
    shared_instance.up()
    return shared_instance


def records(plugins: Instance, plugin: str, action: str = "database") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        plugins.run("audit", "--plugin", plugin, "--type", action, "--json").stdout
    )
    return found


def test_ordinary_drivers_work_with_passwords_from_secrets(
    plugins: Instance, services: Services
) -> None:
    first = plugins.call("ledger", {"text": "from inside"}, tool="note")
    second = plugins.call("ledger", {"text": "again"}, tool="note")

    assert second["notes"] == [*first["notes"], "again"]
    assert second["count"] == first["count"] + 1
    assert "from inside" in services.ask("SELECT text FROM notes")
    assert services.password not in json.dumps(plugins.inspect("ledger"))


def test_the_plugin_has_the_granted_sockets_and_no_network(plugins: Instance) -> None:
    found = plugins.call("ledger", tool="look")

    assert found == {
        "sockets": ["cache", "cache/redis.sock", "main", "main/.s.PGSQL.5432"],
        "links": ["lo"],
    }
    assert plugins.inspect("ledger")["HostConfig"]["NetworkMode"] == "none"


def test_every_connection_is_taken_down_with_its_bytes(plugins: Instance) -> None:
    before = len(records(plugins, "ledger"))
    plugins.call("ledger", {"bytes": 300_000}, tool="large")
    [record] = eventually(lambda: records(plugins, "ledger")[before:])

    assert (record["outcome"], record["actor"]) == ("allowed", "plugin:ledger")
    assert (record["data"]["database"], record["data"]["connections"]) == ("main", 1)
    assert 300_000 < record["data"]["received_bytes"] < 303_000
    assert 0 < record["data"]["sent_bytes"] < 3_000


@pytest.mark.parametrize("path", ["main/.s.PGSQL.5432", "other/.s.PGSQL.5432", "../egress.sock"])
def test_a_database_that_was_not_granted_is_not_there(plugins: Instance, path: str) -> None:
    assert plugins.call(HOSTILE, {"path": path}, tool="reach") == "ENOENT"


def test_of_a_flood_of_connections_as_many_stand_as_may(plugins: Instance) -> None:
    standing = plugins.call(HOSTILE, {"count": 45}, tool="flood")
    codes = [record["data"].get("code") for record in records(plugins, HOSTILE)]

    assert standing == 32
    assert "too_many_connections" in codes


def test_what_a_stopped_plugin_held_at_the_database_is_gone(
    plugins: Instance, services: Services
) -> None:
    held = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ledger'"
    plugins.call("ledger", tool="hold")
    before = services.ask(held)
    path = plugins.manifests / "ledger.yaml"
    text = path.read_text()
    path.write_text(text.replace("spec:\n", "spec:\n  state: stopped\n"))
    plugins.up()
    eventually(lambda: services.ask(held) == [])
    path.write_text(text)
    plugins.up()

    assert before == [1]


def test_a_revoke_closes_an_open_connection_within_a_second(plugins: Instance) -> None:
    """The call holds the container's replacement up, and not the brake."""
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(plugins.call, HOSTILE, tool="keep")
        eventually(lambda: "HOLDS IT" in plugins.run("logs", HOSTILE).stdout, seconds=60)
        plugins.run("permissions", "revoke", HOSTILE, "database_access", "--reason", "it leaks")
        returned = SystemClock().now()
        at = closed.result()
    eventually(lambda: plugins.ps()[HOSTILE]["status"] == "active", seconds=60)
    after = plugins.call(HOSTILE, {"path": "cache/redis.sock"}, tool="reach")
    plugins.run("permissions", "reset", HOSTILE)

    assert 0 < at < returned + BRAKE_SECONDS
    assert after == "ENOENT"
    eventually(lambda: reaches(plugins), seconds=60)


def reaches(plugins: Instance) -> bool:
    """Whether the hostile plugin has its database, once it runs again."""
    words = json.dumps({"path": "cache/redis.sock"})
    done = plugins.run("call", HOSTILE, words, "--tool", "reach", expect=None)
    return done.returncode == 0 and json.loads(done.stdout) == "reached"


def test_a_plugin_finds_its_databases_again_behind_a_daemon_that_is_started_anew(
    plugins: Instance,
) -> None:
    before = plugins.inspect("ledger")["Id"]
    os.kill(plugins.daemon_pid(), signal.SIGKILL)
    plugins.up()
    answer = plugins.call("ledger", {"text": "after the kill"}, tool="note")

    assert "after the kill" in answer["notes"]
    assert plugins.inspect("ledger")["Id"] == before


def test_endless_bytes_end_at_the_quota(plugins: Instance) -> None:
    before = len(records(plugins, POURER))
    came = plugins.call(POURER, tool="pour")
    passed = sum(
        record["data"]["sent_bytes"] + record["data"]["received_bytes"]
        for record in records(plugins, POURER)[before:]
        if record["outcome"] == "allowed"
    )

    assert passed == MIB
    assert 0 < came < MIB
    assert plugins.call(POURER, tool="pour") == 0
    assert records(plugins, POURER, "quota")


@pytest.mark.parametrize(
    ("databases", "code", "words"),
    [
        ({}, 77, "found 'main', expected no database, as policy.databases is empty"),
        (
            {"cache": {"kind": "redis", "address": "cache:6379"}},
            77,
            "expected a database of policy.databases: cache [database_unknown]",
        ),
        (
            {
                "main": {"kind": "postgresql", "address": "/var/run/docker.sock"},
                "cache": {"kind": "redis", "address": "cache:6379"},
            },
            65,
            "[database_address_unusable]",
        ),
    ],
    ids=["no database", "another one", "the engine's socket"],
)
def test_a_database_that_policy_does_not_name_is_refused_at_plan(
    instance: Instance, databases: dict[str, Any], code: int, words: str
) -> None:
    instance.policy(databases=databases)
    instance.manifest("ledger", permissions=[GRANT])
    done = instance.run("plan", str(instance.manifests), expect=code)

    assert words in done.stderr
