"""EgressBroker for unmodified clients behind the SDK's forwarder; credentials they never see."""

import asyncio
import importlib.util
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.sandbox.egress_policy import Injection
from tests.unit.sandbox.broker_house import ask, until
from tests.unit.sandbox.egress_house import (
    EgressHouse,
    Upstream,
    World,
    egress_house,
    get,
    upstream,
)

NODE = Path(__file__).parents[2] / "support" / "node"
SDK = Path(__file__).parents[3] / "plugin_images" / "sdk" / "orchestrator_sdk" / "egress.py"
KEY = Injection(header="Authorization", value="Bearer 5ecret")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority of the test's own, and api.test's certificate."""
    folder = tmp_path_factory.mktemp("ca")
    script = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
  -subj /CN=test -days 2 -addext basicConstraints=critical,CA:TRUE \
  -addext keyUsage=critical,keyCertSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out a.csr \
  -subj /CN=api.test
printf 'subjectAltName=DNS:api.test\\nauthorityKeyIdentifier=keyid' > ext
openssl x509 -req -in a.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem \
  -extfile ext
"""
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


@asynccontextmanager
async def api(
    folder: Path,
    authority: Path,
    *,
    certificate_of: str = "api.test",
    keyed: str = "api.test",
) -> AsyncIterator[tuple[Upstream, EgressHouse]]:
    """A TLS server, and a plugin that may reach it as api.test and as other.test."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    world = World(context=ssl.create_default_context(cafile=str(authority / "ca.pem")))
    async with (
        upstream(context=serving) as server,
        egress_house(
            folder,
            f"api.test:{server.port}",
            f"other.test:{server.port}",
            world=world,
            inject={f"{keyed}:{server.port}": KEY},
        ) as house,
    ):
        yield server, house


async def test_the_broker_adds_the_key_and_speaks_tls_for_the_plugin(
    tmp_path: Path, authority: Path
) -> None:
    async with api(tmp_path, authority) as (server, house):
        answer = await ask(house.path, get(f"http://api.test:{server.port}/me"))
        await until(lambda: house.auditor.entries)

        assert (answer.status, answer.body) == (200, b"hello")
        assert server.heard[0].decode().split("\r\n") == [
            "GET /me HTTP/1.1",
            f"Host: api.test:{server.port}",
            "Authorization: Bearer 5ecret",
            "Connection: close",
            "",
            "",
        ]
        assert house.auditor.entries[0].data["form"] == "tls"
        assert "5ecret" not in repr(house.auditor.entries)


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION", "authorization"])
async def test_a_header_of_that_name_from_the_plugin_is_dropped(
    tmp_path: Path, authority: Path, name: str
) -> None:
    async with api(tmp_path, authority) as (server, house):
        url = f"http://api.test:{server.port}/"
        await ask(house.path, get(url, f"{name}: mine\r\nConnection: {name}\r\n"))

        assert server.heard[0].lower().count(b"authorization") == 1
        assert b"mine" not in server.heard[0]


async def test_a_header_that_a_cgi_takes_for_that_one_is_dropped_too(
    tmp_path: Path, authority: Path
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    world = World(context=ssl.create_default_context(cafile=str(authority / "ca.pem")))
    async with (
        upstream(context=serving) as server,
        egress_house(
            tmp_path,
            f"api.test:{server.port}",
            world=world,
            inject={f"api.test:{server.port}": Injection(header="X-Api-Key", value="5ecret")},
        ) as house,
    ):
        await ask(house.path, get(f"http://api.test:{server.port}/", "X_Api-Key: mine\r\n"))

        assert b"mine" not in server.heard[0]


async def test_the_key_goes_to_no_other_host(tmp_path: Path, authority: Path) -> None:
    async with api(tmp_path, authority) as (_, house), upstream() as plain:
        house.broker._rules = type(house.broker._rules).of(
            hosts=(f"other.test:{plain.port}",),
            allowed_private=("127.0.0.1/32",),
            inject={f"api.test:{plain.port}": KEY, "other.test:1": KEY},
        )
        await ask(house.path, get(f"http://other.test:{plain.port}/"))

        assert b"5ecret" not in plain.heard[0]


async def test_the_key_is_not_shown_to_a_server_with_anothers_certificate(
    tmp_path: Path, authority: Path
) -> None:
    async with api(tmp_path, authority, keyed="other.test") as (server, house):
        answer = await ask(house.path, get(f"http://other.test:{server.port}/"))

        assert (answer.status, answer.code) == (502, "connect_failed")
        assert server.heard == []


async def test_the_key_is_not_shown_to_a_server_of_an_unknown_authority(
    tmp_path: Path, authority: Path
) -> None:
    async with api(tmp_path, authority) as (server, house):
        house.world.context = ssl.create_default_context()
        answer = await ask(house.path, get(f"http://api.test:{server.port}/"))

        assert (answer.status, server.heard) == (502, [])


async def test_the_request_is_not_sent_back_with_the_key_in_it(
    tmp_path: Path, authority: Path
) -> None:
    async with api(tmp_path, authority) as (server, house):
        request = get(f"http://api.test:{server.port}/").replace("GET", "TRACE")

        assert (await ask(house.path, request)).code == "method_refused"


async def test_a_plain_url_without_a_port_means_the_keys_host_over_tls(tmp_path: Path) -> None:
    async with egress_house(tmp_path, "api.test:443", inject={"api.test:443": KEY}) as house:
        await ask(house.path, get("http://api.test/"))
        without = await ask(house.path, get("http://api.test:8080/"))

        assert house.auditor.entries[0].data["port"] == 443
        assert without.code == "host_not_allowed"


# -- clients that know nothing of us ----------------------------------------------------------


@pytest.fixture
def forwarder() -> Any:
    """The SDK's module by its path: it belongs to images, not to this distribution."""
    spec = importlib.util.spec_from_file_location("sdk_egress", SDK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EgressForwarder


async def _run(*command: str, proxy: int) -> tuple[int, str]:
    environment = {
        "http_proxy": f"http://127.0.0.1:{proxy}",
        "https_proxy": f"http://127.0.0.1:{proxy}",
        "PATH": "/usr/bin:/bin",
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_curl_reaches_granted_hosts_and_no_others(
    tmp_path: Path, authority: Path, forwarder: Any
) -> None:
    async with api(tmp_path, authority) as (server, house):
        made = forwarder(str(house.path), port=0)
        made.start()
        curl = ("curl", "-sS", "--max-time", "10", "-w", " %{http_code} %{http_connect}")
        ca = ("--cacert", str(authority / "ca.pem"))
        origin = f"api.test:{server.port}"

        by_connect = await _run(*curl, *ca, f"https://{origin}/", proxy=made.port)
        by_key = await _run(*curl, f"http://{origin}/", proxy=made.port)
        refused = await _run(*curl, *ca, "https://evil.test/", proxy=made.port)
        plain = await _run(*curl, "http://evil.test/", proxy=made.port)

    assert by_connect == (0, "hello 200 200")
    assert by_key == (0, "hello 200 000")
    assert refused == (56, " 000 403")
    code, body = plain
    assert (code, json.loads(body[: body.rindex("}") + 1])["code"]) == (0, "host_not_allowed")


async def test_curl_sends_a_large_body_that_waits_for_leave(tmp_path: Path, forwarder: Any) -> None:
    size = 3 << 20
    file = tmp_path / "body"
    file.write_bytes(b"x" * size)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        await writer.drain()

    async with (
        upstream(take) as server,
        egress_house(tmp_path, f"a.test:{server.port}", limit_bytes=8 << 20) as house,
    ):
        made = forwarder(str(house.path), port=0)
        made.start()
        result = await _run(
            "curl",
            "-sS",
            "--data-binary",
            f"@{file}",
            f"http://a.test:{server.port}/",
            proxy=made.port,
        )

    assert result == (0, "done")


async def test_pythons_own_client_reaches_a_granted_host(
    tmp_path: Path, authority: Path, forwarder: Any
) -> None:
    code = (
        "import sys, ssl, urllib.request as u; "
        "context = ssl.create_default_context(cafile=sys.argv[2]); "
        "print(u.urlopen(sys.argv[1], context=context, timeout=10).read().decode(), end='')"
    )
    async with api(tmp_path, authority) as (server, house):
        made = forwarder(str(house.path), port=0)
        made.start()
        ca = str(authority / "ca.pem")
        result = await _run(
            sys.executable, "-c", code, f"https://api.test:{server.port}/", ca, proxy=made.port
        )

    assert result == (0, "hello")


async def test_requests_reaches_a_granted_host_and_no_other(
    tmp_path: Path, authority: Path, forwarder: Any
) -> None:
    code = (
        "import sys, requests\n"
        "for url in sys.argv[2:]:\n"
        "    try: print(requests.get(url, verify=sys.argv[1], timeout=10).text)\n"
        "    except requests.exceptions.ProxyError as error: print('403' in str(error))"
    )
    async with api(tmp_path, authority) as (server, house):
        made = forwarder(str(house.path), port=0)
        made.start()
        ca = str(authority / "ca.pem")
        urls = (f"https://api.test:{server.port}/", "https://evil.test/")
        result = await _run(sys.executable, "-c", code, ca, *urls, proxy=made.port)

    assert result == (0, "hello\nTrue\n")


@pytest.fixture(scope="session")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program for Node.js with undici beside it."""
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(NODE, folder)
    npm = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(npm, cwd=folder, check=True, timeout=120)
    return str(folder / "fetch.mjs")


async def test_nodes_fetch_with_a_proxy_agent_reaches_a_granted_host_and_no_other(
    tmp_path: Path, authority: Path, forwarder: Any, fetch: str
) -> None:
    async with api(tmp_path, authority) as (server, house):
        made = forwarder(str(house.path), port=0)
        made.start()
        ca = str(authority / "ca.pem")
        url = f"https://api.test:{server.port}/"
        granted = await _run("node", fetch, url, ca, proxy=made.port)
        refused = await _run("node", fetch, "https://evil.test/", ca, proxy=made.port)
        await until(lambda: house.broker.refusals["host_not_allowed"])

    assert granted == (0, "200 hello")
    # Its words for the 403 that CONNECT was answered with differ between its versions.
    assert refused[1].startswith("failed:")
