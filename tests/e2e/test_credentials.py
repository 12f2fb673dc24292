"""A credential that the broker adds: the host sees it, the plugin never does."""

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import Instance, engine
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

PLUGIN = "e2e-caller-with-key"
KEY = "k3y-that-nobody-may-see"
CERTIFICATE = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
  -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost
"""

CODE = """
import glob, os, urllib.error, urllib.request
from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    @tool
    def fetch(self, url: str, method: str = "GET", headers: dict = {}):
        request = urllib.request.Request(url, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return {"status": answer.status, "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "body": error.read().decode()}

    @tool
    def search(self, text: str):
        places = ["/run", "/plugin", "/tmp", "/etc", "/proc/self/environ", "/proc/1/environ"]
        found = []
        for top in places:
            walk = [(top, [], [""])] if os.path.isfile(top) else os.walk(top)
            for folder, _, files in walk:
                for name in files:
                    path = os.path.join(folder, name).rstrip("/")
                    try:
                        if text.encode() in open(path, "rb").read(1 << 20):
                            found.append(path)
                    except OSError:
                        pass
        return found
"""


@pytest.fixture
def seen() -> list[list[str]]:
    """The values of X-Key, one list a request."""
    return []


@pytest.fixture
def upstream(tmp_path: Path, seen: list[list[str]]) -> Iterator[int]:
    subprocess.run(["sh", "-ec", CERTIFICATE], cwd=tmp_path, check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get_all("X-Key") or [])
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"granted")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_plugin_uses_a_key_that_it_never_sees(
    instance: Instance, workshop: Workshop, tmp_path: Path, upstream: int, seen: list[list[str]]
) -> None:
    host = f"localhost:{upstream}"
    instance.variables["SSL_CERT_FILE"] = str(tmp_path / "cert.pem")
    instance.policy(egress={"allowed_private": ["127.0.0.0/8"]})
    (instance.manifests / "key.txt").write_text(f"{KEY}\n")
    wanted = [{"external_api": {"hosts": [host]}}]
    workshop.script(
        PLUGIN,
        CODE,
        info={
            "permissions": wanted,
            "tools": [
                {"name": name, "description": "For one test.", "input_schema": {"type": "object"}}
                for name in ("fetch", "search")
            ],
        },
        permissions=wanted,
        inject={host: {"header": "X-Key", "prefix": "Token ", "file": "key.txt"}},
    )
    instance.up()

    plain = instance.call(PLUGIN, {"url": f"http://{host}/"}, tool="fetch")
    forged = {"url": f"http://{host}/", "headers": {"X-Key": "forged", "X_Key": "forged"}}
    replaced = instance.call(PLUGIN, forged, tool="fetch")
    traced = instance.call(PLUGIN, {"url": f"http://{host}/", "method": "TRACE"}, tool="fetch")
    inside = instance.call(PLUGIN, {"text": KEY}, tool="search")
    with engine() as client:
        shown = str(client.inspect_container(instance.ps()[PLUGIN]["container_id"]))
    told = [
        instance.run(*command).stdout
        for command in (
            ("status", "--json"),
            ("audit", "--json"),
            ("explain", PLUGIN, "--json", str(instance.manifests)),
            ("logs", PLUGIN),
        )
    ]

    assert plain == {"status": 200, "body": "granted"}
    assert replaced == {"status": 200, "body": "granted"}
    assert seen == [[f"Token {KEY}"], [f"Token {KEY}"]]
    assert (traced["status"], "method_refused" in traced["body"]) == (403, True)
    assert inside == []
    assert KEY not in shown + "".join(told) + instance.log()
    assert f'"host": "{host}"' in told[2]
