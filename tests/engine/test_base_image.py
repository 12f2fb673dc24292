"""The base image on a real engine: what it holds, and the system call filter from inside."""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.policy.seccomp import seccomp_profile

pytestmark = pytest.mark.docker

MARK = f"test-base-{os.getpid()}"
PROBE = Path(__file__).with_name("seccomp_probe.py")
REFUSED = {1, 38}


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    with contextlib.closing(DockerClients.connect().own(timeout=60)) as client:
        yield client


@pytest.fixture
async def images() -> AsyncIterator[DockerImages]:
    clients = DockerClients.connect()
    yield DockerImages(clients)
    await clients.aclose()


@pytest.fixture
async def base(images: DockerImages, tmp_path: Path) -> str:
    return await ensure_base(
        images, cache=tmp_path / "cache", progress=lambda _: None, registry=None
    )


def _run(api: docker.APIClient, image: str, *command: str, profile: str | None = None) -> str:
    """What the hardened container prints, on both streams."""
    seccomp = seccomp_profile() if profile is None else profile
    created = api.create_container(
        image,
        command=list(command),
        user="65532:65532",
        network_disabled=True,
        labels={MARK: "1"},
        host_config=api.create_host_config(
            init=True,
            read_only=True,
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges", f"seccomp={seccomp}"],
            tmpfs={"/tmp": "noexec,nosuid,nodev,size=4m"},
            mem_limit="128m",
            pids_limit=64,
        ),
    )
    try:
        api.start(created["Id"])
        api.wait(created["Id"])
        output: bytes = api.logs(created["Id"])
        return output.decode()
    finally:
        api.remove_container(created["Id"], force=True, v=True)


def _python(api: docker.APIClient, image: str, code: str, profile: str | None = None) -> Any:
    text = _run(api, image, "python3", "-I", "-c", code, profile=profile)
    try:
        return json.loads(text)
    except ValueError:
        pytest.fail(f"the container printed {text!r}")


# --- the base image -----------------------------------------------------------------------------


async def test_the_base_is_labelled_with_its_python(
    api: docker.APIClient, images: DockerImages, base: str
) -> None:
    seen = _python(api, base, "import sys, json; print(json.dumps(sys.version_info[:2]))")

    assert (await images.labels(base))["orchestrator.python"] == "{}.{}".format(*seen)


async def test_the_base_imports_all_that_plugins_may_count_on(
    api: docker.APIClient, base: str
) -> None:
    code = """
import importlib, json, pathlib, sysconfig
names = "asyncio bz2 ctypes decimal hashlib http.client json lzma multiprocessing orchestrator_sdk \
sqlite3 ssl unittest urllib.request uuid venv xml.etree.ElementTree zlib zoneinfo".split()
for folder in pathlib.Path(sysconfig.get_path("stdlib")).glob("lib-dynload/*.so"):
    names.append(folder.name.partition(".")[0])
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""

    assert _python(api, base, code) == {}


async def test_the_base_carries_its_bytecode(api: docker.APIClient, base: str) -> None:
    code = """
import json, pathlib, importlib.util, orchestrator_sdk, http.client
modules = (json, orchestrator_sdk, http.client)
files = [importlib.util.cache_from_source(module.__file__) for module in modules]
print(json.dumps([pathlib.Path(file).exists() for file in files]))
"""

    assert _python(api, base, code) == [True, True, True]


async def test_the_base_knows_the_plugins_user_and_holds_no_setuid_file(
    api: docker.APIClient, base: str
) -> None:
    code = """
import json, os, pwd
found = [os.path.join(top, name) for top, _, names in os.walk("/usr") for name in names
         if not os.path.islink(os.path.join(top, name))
         and os.stat(os.path.join(top, name)).st_mode & 0o6022]
folders = [f for f in ("/plugin /data /mnt /host /run/orchestrator /run/secrets".split())
           if not os.path.isdir(f)]
print(json.dumps([pwd.getpwuid(os.getuid()).pw_name, found, folders, os.getcwd()]))
"""

    assert _python(api, base, code) == ["plugin", [], [], "/plugin"]


async def test_the_base_trusts_the_public_authorities(api: docker.APIClient, base: str) -> None:
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"

    assert _python(api, base, code) > 50


# --- the system call filter, from inside --------------------------------------------------------


async def test_python_runs_under_the_filter(api: docker.APIClient, base: str) -> None:
    code = """
import asyncio, concurrent.futures, json, mmap, multiprocessing, os, select, signal, socket
import sqlite3, subprocess, tempfile, threading
results = []
threads = [threading.Thread(target=results.append, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
with sqlite3.connect("/tmp/x.db") as db:
    db.execute("create table t(a)"); db.execute("insert into t values (1)")
    rows = db.execute("select * from t").fetchall()
async def main():
    server = await asyncio.start_unix_server(lambda r, w: w.close(), "/tmp/s")
    reader, writer = await asyncio.open_unix_connection("/tmp/s")
    await reader.read(); writer.close(); server.close()
    p = await asyncio.create_subprocess_exec("true"); await p.wait()
    return await asyncio.to_thread(os.getpid)
asyncio.run(main())
out = subprocess.run("echo a | cat", shell=True, capture_output=True, text=True).stdout
fork = os.fork()
if not fork: os._exit(3)
code = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
os.close(os.memfd_create("x"))
epoll = select.epoll(); epoll.close()
socket.if_nameindex(); socket.getaddrinfo("127.0.0.1", 80); socket.socketpair()
with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
    total = pool.submit(sum, [1, 2]).result()
print(json.dumps([len(results), rows, out, code, total]))
"""

    assert _python(api, base, code) == [8, [[1]], "a\n", 3, 3]


async def test_every_refused_call_fails_from_inside(api: docker.APIClient, base: str) -> None:
    answers = _python(api, base, PROBE.read_text())

    assert len(answers["calls"]) > 60
    assert {name for name, error in answers["calls"].items() if error not in REFUSED} == set()


async def test_only_the_usual_sockets_are_made(api: docker.APIClient, base: str) -> None:
    answers = _python(api, base, PROBE.read_text())

    assert {family for family, error in answers["sockets"].items() if error == 0} == {
        "1",
        "16",
    }
    assert answers["sockets"]["40"] in REFUSED


async def test_arguments_are_looked_at(api: docker.APIClient, base: str) -> None:
    answers = _python(api, base, PROBE.read_text())["flagged"]

    assert answers.pop("clone3") == 38
    assert answers.pop("ioctl TIOCGWINSZ") not in REFUSED
    assert set(answers.values()) == {1}


async def test_without_the_filter_the_probe_sees_the_difference(
    api: docker.APIClient, base: str
) -> None:
    answers = _python(api, base, PROBE.read_text(), profile="unconfined")

    opened = {name for name, error in answers["calls"].items() if error not in REFUSED}
    assert {"ptrace", "bpf", "process_vm_readv", "unshare", "setns", "userfaultfd"} <= opened
    assert answers["flagged"]["personality"] == 0


async def test_the_other_dialect_of_the_processor_kills(api: docker.APIClient, base: str) -> None:
    code = """
import ctypes, json, mmap, os, platform
if platform.machine() != "x86_64":
    print(31); raise SystemExit
child = os.fork()
if not child:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid, 32 bits); int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    os._exit(0)
print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""

    assert _python(api, base, code) == 31  # SIGSYS
