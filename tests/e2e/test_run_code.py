"""`orchestrator run-code`, from the command line to a throw-away container and back."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.e2e.test_daemon import kill_daemon
from tests.support.instance import Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """A web server of the host's own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"bytes!")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def running(shared_instance: Instance, shared_workshop: Workshop) -> Instance:
    """An instance that is up, with a share and one plugin beside the code."""
    docs = shared_instance.folder / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("shared")
    shared_instance.policy(
        shares={"docs": {"path": str(docs)}}, egress={"allowed_private": ["127.0.0.0/8"]}
    )
    shared_workshop.small("e2e-beside")
    shared_instance.up("--config", str(shared_instance.config))
    return shared_instance


def run(instance: Instance, code: str, *more: str, expect: int = 0) -> dict[str, Any]:
    """`run-code --json -`; what it prints."""
    done = instance.run("run-code", "--json", *more, "-", stdin=code.encode(), expect=expect)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def code_containers(instance: Instance) -> dict[str, str]:
    """The instance's throw-away containers, and what each does."""
    with engine() as client:
        labels = [*instance._chosen()["label"], "orchestrator.role=code"]
        found = client.containers(all=True, filters={"label": labels})
    return {c["Id"]: c["State"] for c in found}


def pool(instance: Instance) -> set[str]:
    """The pool's containers, once it is full and everything used is gone."""

    def full() -> set[str]:
        found = code_containers(instance)
        if sorted(found.values()) != ["paused", "running"]:
            return set()
        # One that was used may still run beside the one that is paused: it would be gone by then.
        time.sleep(1)
        return set(found) if code_containers(instance) == found else set()

    ids: set[str] = eventually(full)
    return ids


def test_code_from_standard_input_comes_back_with_its_result(running: Instance) -> None:
    answer = run(running, "print('hello')\nsum(context)", "--context", "[1, 2]")

    assert (answer["reason"], answer["result"], answer["stdout"]) == ("ok", 3, "hello\n")


def test_without_json_the_codes_output_is_the_commands_own(running: Instance) -> None:
    script = running.folder / "script.py"
    script.write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\n5")
    done = running.run("run-code", str(script))

    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        ("1 / 0", "exception", 76),
        ("while True: pass", "deadline_exceeded", 124),
        ("object()", "result_not_json", 65),
        ("b = bytearray(1 << 30)\nb[::4096] = b'x' * len(b[::4096])", "oom_killed", 74),
    ],
)
def test_each_way_to_fail_has_its_exit_code(
    running: Instance, code: str, reason: str, exit_code: int
) -> None:
    answer = run(running, code, "--timeout", "3", expect=exit_code)

    assert answer["reason"] == reason


def test_a_traceback_is_shown_on_standard_error(running: Instance) -> None:
    done = running.run("run-code", stdin=b"def f(): 1 / 0\nf()", expect=76)

    assert done.stdout == ""
    assert '[exception] Traceback (most recent call last):\n  File "<code>", line 2' in done.stderr


def test_a_share_is_granted_by_name_and_policy_is_the_ceiling(running: Instance) -> None:
    read = "open('/mnt/docs/a.txt').read()"
    answer = run(running, read, "--permission", "file_system_read=docs")
    without = run(running, read, expect=76)
    unknown = running.run("run-code", "--permission", "file_system_read=etc", stdin=b"1", expect=77)
    network = running.run("run-code", "--permission", "network_access", stdin=b"1", expect=77)
    longer = running.run("run-code", "--timeout", "31", stdin=b"1", expect=77)

    assert answer["result"] == "shared"
    assert "FileNotFoundError" in without["detail"]
    assert "share_unknown" in unknown.stderr
    assert "code_permission_unsupported" in network.stderr
    assert "found 31" in longer.stderr


def test_code_reaches_a_granted_host_through_the_proxy_and_no_other(
    running: Instance, upstream: int
) -> None:
    fetch = """
import urllib.error, urllib.request
def get(host):
    try: return urllib.request.urlopen(f"http://{host}:{context}/", timeout=10).read().decode()
    except urllib.error.HTTPError as error: return error.code
    except urllib.error.URLError: return "no way"
[get("localhost"), get("127.0.0.1")]
"""
    port = str(upstream)
    granted = run(
        running, fetch, "--context", port, "--permission", f"external_api=localhost:{port}"
    )
    without = run(running, fetch, "--context", port)
    records = json.loads(running.run("audit", "--type", "egress", "--json").stdout)

    assert granted["result"] == ["bytes!", 403]
    assert without["result"] == ["no way", "no way"]
    assert {record["outcome"] for record in records} == {"allowed", "refused"}
    assert all(record["actor"].startswith("plugin:code-python-") for record in records)


def test_code_calls_a_granted_plugin_and_no_other(running: Instance) -> None:
    call = """
import http.client, socket
def ask(plugin):
    c = http.client.HTTPConnection("host", timeout=10)
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect("/run/orchestrator/host.sock")
    c.request("POST", f"/v1/plugins/{plugin}/execute", body=b'{"a": 1}',
              headers={"X-Tool": "echo", "Content-Type": "application/json"})
    answer = c.getresponse()
    return [answer.status, answer.read().decode()]
[ask("e2e-beside"), ask("nobody")[0]]
"""
    answer = run(running, call, "--permission", "plugin_communication=e2e-beside")

    assert answer["result"] == [[200, '{"a": 1}'], 403]


def test_every_run_is_in_the_audit_log_with_its_end(running: Instance) -> None:
    run(running, "1 / 0", expect=76)
    running.run("run-code", "--permission", "system_info", stdin=b"1", expect=77)
    records = json.loads(running.run("audit", "--type", "code_run", "--json").stdout)

    assert [(r["actor"], r["outcome"], r["data"]["language"]) for r in records[-2:]] == [
        ("operator", "failed", "python"),
        ("operator", "refused", "python"),
    ]
    assert records[-2]["why"] == "exception"
    assert "code_permission_unsupported" in records[-1]["why"]
    assert "1 / 0" not in json.dumps(records)


def test_a_disk_of_its_own_holds_what_its_limit_says_and_goes_with_it(running: Instance) -> None:
    fill = """
try:
    with open("/data/x", "wb") as file:
        for _ in range(200): file.write(bytes(1 << 20))
except OSError as error:
    result = error.strerror
"""
    before = running.volumes()
    answer = run(running, fill, "--permission", "file_system_write")

    assert answer["result"] == "No space left on device"
    assert eventually(lambda: running.volumes() == before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-file"], "no-such-file"),
        (["--context", "{"], "--context: found no JSON"),
        (["--language", "cobol"], "found 'cobol', expected one of python"),
        (["--permission", "root"], "permissions"),
    ],
)
def test_what_cannot_be_run_is_refused_with_words(
    running: Instance, arguments: list[str], words: str
) -> None:
    done = running.run("run-code", *arguments, stdin=b"1", expect=65)

    assert words in done.stderr


def test_the_pool_fills_and_the_reconcile_loop_leaves_it_alone(running: Instance) -> None:
    run(running, "1")
    before = pool(running)
    running.up("--config", str(running.config))
    plugins, plan = running.ps(), running.run("plan", str(running.manifests), "--json", expect=0)

    assert set(code_containers(running)) == before
    assert "code-python" not in plan.stdout
    assert list(plugins) == ["e2e-beside"]
    assert plugins["e2e-beside"]["status"] == "active"


def test_the_memory_of_sandboxes_that_wait_is_promised_before_plugins_get_any(
    running: Instance,
) -> None:
    greedy = running.folder / "greedy.yaml"
    most = 1_048_576
    policy = {"code": {"max_memory_mb": most}, "ceilings": {"max_memory_mb": most}}
    greedy.write_text(json.dumps({"policy": policy}))
    refused = running.up("--config", str(greedy), expect=74)

    assert "not_admitted" in refused.stderr
    assert "policy.code.pool_size does not fit" in refused.stderr


def test_a_killed_daemons_sandboxes_are_swept_at_the_next_start(running: Instance) -> None:
    run(running, "1")
    old = pool(running)
    kill_daemon(running)
    running.up("--config", str(running.config))
    eventually(lambda: not old & set(code_containers(running)))
    answer = run(running, "2")

    assert answer["result"] == 2


def test_down_takes_the_pool_with_it(instance: Instance, workshop: Workshop) -> None:
    workshop.small("e2e-alone")
    instance.up()
    run(instance, "1")
    pool(instance)
    instance.down()

    assert instance.left_over() == []


def test_a_command_that_needs_the_daemon_says_so(instance: Instance) -> None:
    done = instance.run("run-code", stdin=b"1", expect=69)

    assert "orchestrator up" in done.stderr
