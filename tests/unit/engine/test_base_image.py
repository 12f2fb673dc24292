"""debian.sh is played by scripts of the test's own; the real one runs in tests/engine."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from orchestrator.engine.assets import Assets, find_assets
from orchestrator.engine.base import BuildFailed, EngineUnavailable
from orchestrator.engine.base_image import (
    BaseImageFailed,
    base_tag,
    ensure_base,
    is_registry,
    registry_answers,
    root_tag,
)
from orchestrator.engine.memory_stores import MemoryImages


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    base, sdk = tmp_path / "base", tmp_path / "sdk"
    base.mkdir()
    (sdk / "orchestrator_sdk").mkdir(parents=True)
    (sdk / "orchestrator_sdk" / "__init__.py").write_text("A = 1\n")
    (sdk / "pyproject.toml").touch()
    (base / "Dockerfile").write_text("FROM python:3.11-slim\n")
    (base / "sdk.Dockerfile").write_text("ARG PYTHON_ROOT\nFROM ${PYTHON_ROOT}\n")
    (base / "plugin.Dockerfile").touch()
    (base / "debian.sh").write_text('echo working >&2; echo tar > "$1"; echo 3.13\n')
    return Assets(base=base, sdk=sdk)


async def _ensure(images: MemoryImages, assets: Assets) -> list[str]:
    said: list[str] = []
    cache = assets.base.parent / "cache"
    tag = await ensure_base(images, cache=cache, progress=said.append, registry=None, assets=assets)

    assert tag == base_tag(assets)
    return said


@pytest.mark.parametrize(
    ("path", "root", "base"),
    [
        ("base/debian.sh", True, True),
        ("base/Dockerfile", True, True),
        ("base/sdk.Dockerfile", False, True),
        ("sdk/orchestrator_sdk/__init__.py", False, True),
        ("base/plugin.Dockerfile", False, False),
        ("sdk/pyproject.toml", False, False),
    ],
)
def test_what_goes_into_a_layer_is_in_its_tag(
    assets: Assets, path: str, *, root: bool, base: bool
) -> None:
    before = root_tag(assets), base_tag(assets)
    with (assets.base.parent / path).open("a") as file:
        file.write("# changed\n")

    assert (root_tag(assets) != before[0], base_tag(assets) != before[1]) == (root, base)


async def test_the_base_is_made_of_debian_packages_and_the_sdk(assets: Assets) -> None:
    images = MemoryImages()
    said = await _ensure(images, assets)

    [request] = images.builds
    assert "working" in said
    assert request.arguments == {"PYTHON_ROOT": root_tag(assets)}
    assert set(request.context) == {"Dockerfile", "orchestrator_sdk/__init__.py"}
    assert not request.network
    assert (await images.labels(base_tag(assets)))["orchestrator.python"] == "3.13"


async def test_a_base_that_exists_costs_one_question(assets: Assets) -> None:
    images = MemoryImages()
    images.add(base_tag(assets))

    assert await _ensure(images, assets) == []
    assert images.builds == []


async def test_a_new_sdk_does_not_make_a_new_python(assets: Assets) -> None:
    images = MemoryImages()
    await _ensure(images, assets)
    (assets.sdk / "orchestrator_sdk" / "__init__.py").write_text("A = 2\n")
    (assets.base.parent / "cache").rmdir()
    said = await _ensure(images, assets)

    assert "working" not in said
    assert len(images.builds) == 2


async def test_a_host_that_cannot_make_one_says_why(assets: Assets) -> None:
    (assets.base / "debian.sh").write_text("echo apt-get not found >&2; exit 69\n")

    with pytest.raises(BaseImageFailed, match=r"(?s)pulling is switched off.*apt-get not found"):
        await _ensure(MemoryImages(), assets)


async def test_an_sdk_layer_that_does_not_build_is_not_the_plugins_fault(assets: Assets) -> None:
    images = MemoryImages()
    images.failures.add("build", BuildFailed("step 3"))

    with pytest.raises(BaseImageFailed, match="step 3"):
        await _ensure(images, assets)


async def test_an_engine_that_went_away_stays_that(assets: Assets) -> None:
    images = MemoryImages()
    images.failures.add("import_root", EngineUnavailable("gone"))

    with pytest.raises(EngineUnavailable):
        await _ensure(images, assets)


async def test_without_a_registry_packages_are_taken(assets: Assets) -> None:
    images = MemoryImages()
    said: list[str] = []
    cache = assets.base.parent
    # A port where nothing listens.
    await ensure_base(
        images, cache=cache, progress=said.append, registry="127.0.0.1:9", assets=assets
    )

    assert "no registry answers at 127.0.0.1:9" in said[0]


async def test_something_that_accepts_and_says_nothing_is_no_registry() -> None:
    hung_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        started = asyncio.get_running_loop().time()
        answers = await registry_answers(f"127.0.0.1:{port}", timeout_seconds=0.2)
        await hung_up.wait()

    assert not answers
    assert asyncio.get_running_loop().time() - started < 2


def test_a_host_without_debian_packages_is_told_so(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", find_assets().base / "debian.sh", tmp_path / "root.tar"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 69
    assert "apt-get not found: the base image is made of Debian packages" in done.stderr


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nDocker-Distribution-Api-Version: registry/2.0\r\n", True),
        (b"HTTP/1.1 200 OK\r\ndocker-distribution-api-version: registry/2.0\r\n", True),
        (b"HTTP/1.1 403 Forbidden\r\nDocker-Distribution-Api-Version: registry/2.0\r\n", False),
        (b"HTTP/1.1 200 OK\r\nServer: captive-portal\r\n", False),
        (b"", False),
    ],
)
def test_a_registry_is_known_by_its_own_words(answer: bytes, *, expected: bool) -> None:
    assert is_registry(answer) is expected
