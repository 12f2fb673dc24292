"""Images on a real engine: plugin folders built, images read without being run."""

import asyncio
import contextlib
import io
import os
import re
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.engine.base import (
    BuildFailed,
    BuildRequest,
    EngineFailure,
    EngineUnavailable,
    ImageNotFound,
)
from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.build import ensure_image, plan_image
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import LABEL_READER, DockerImages
from orchestrator.model.policy import BuildPolicy

pytestmark = pytest.mark.docker

MARK = f"test-images-{os.getpid()}-{os.urandom(3).hex()}"


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    """A client of the test's own; in the end every image that a test tagged is removed."""
    with contextlib.closing(DockerClients.connect().own(timeout=60)) as client:
        yield client
        for image in client.images(name=f"orchestrator/{MARK}*"):
            client.remove_image(image["Id"], force=True)


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


def _request(dockerfile: Path, **changes: Any) -> BuildRequest:
    fields: dict[str, Any] = {
        "tag": f"orchestrator/{MARK}:{os.urandom(4).hex()}",
        "context": {"Dockerfile": dockerfile},
        "dockerfile": "Dockerfile",
        "arguments": {},
        "network": False,
        "memory_bytes": 256 << 20,
        "timeout_seconds": 60,
        "labels": {"orchestrator.built": "1"},
    }
    return BuildRequest(**(fields | changes))


# --- building -----------------------------------------------------------------------------------


async def test_a_folder_becomes_an_image_without_its_code_being_run(
    images: DockerImages, base: str, tmp_path: Path
) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "plugin.yaml").write_text("plugin_id: x\n")
    (folder / "main.py").write_text("VALUE = 42\n")
    (folder / "broken.py").write_text("def (:\n")
    # Were it on the import path while the image is built, this would run.
    (folder / "compileall.py").write_text("open('/plugin/pwned', 'w')\n")
    (folder / "sitecustomize.py").write_text("open('/plugin/pwned', 'w')\n")
    plan = plan_image(folder, MARK, base)
    said: list[str] = []
    image = await ensure_image(
        plan, images=images, policy=BuildPolicy(), cache=tmp_path / "cache", progress=said.append
    )

    assert re.fullmatch("sha256:[0-9a-f]{64}", image)
    assert await images.find(plan.tag) == image
    assert any("Step 1/" in line for line in said)
    assert await images.read_file(image, "/plugin/plugin.yaml", max_bytes=99) == b"plugin_id: x\n"
    assert await images.read_file(image, "/plugin/pwned", max_bytes=99) is None
    assert (await images.labels(image))["orchestrator.built"] == "1"
    python = (await images.labels(base))["orchestrator.python"].replace(".", "")
    bytecode = f"/plugin/__pycache__/main.cpython-{python}.pyc"
    assert await images.read_file(image, bytecode, max_bytes=9_999) is not None


async def test_an_image_from_scratch_needs_no_base(images: DockerImages, tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "hello").write_text("hello")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY hello /plugin/hello\n")
    plan = plan_image(folder, MARK, "orchestrator/base:not-there")
    image = await ensure_image(
        plan, images=images, policy=BuildPolicy(), cache=tmp_path, progress=lambda _: None
    )

    assert await images.read_file(image, "/plugin/hello", max_bytes=5) == b"hello"


async def test_a_failed_build_carries_the_builders_words(
    images: DockerImages, base: str, tmp_path: Path
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {base}\nRUN echo one && printf '\\033[31mtwo\\n' && exit 7\n")
    request = _request(dockerfile)

    with pytest.raises(BuildFailed, match=r"(?s)one\ntwo\n.*returned a non-zero code: 7"):
        await images.build(request, lambda _: None)
    assert await images.find(request.tag) is None


async def test_a_build_has_no_network_unless_told(
    images: DockerImages, base: str, tmp_path: Path
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(
        f"FROM {base}\nRUN python3 -c 'import socket;"
        ' print("seen:", [name for _, name in socket.if_nameindex()])\'\n'
    )
    said: list[str] = []
    await images.build(_request(dockerfile), said.append)
    await asyncio.sleep(0)

    assert [line for line in said if line.startswith("seen:")] == ["seen: ['lo']"]


async def test_a_build_ends_at_its_deadline(
    api: docker.APIClient, images: DockerImages, base: str, tmp_path: Path
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    marker = f"sleep 77 && echo {MARK}"
    dockerfile.write_text(f"FROM {base}\nRUN {marker}\n")
    started = asyncio.get_running_loop().time()

    with pytest.raises(BuildFailed, match="was not built within 3 s"):
        await images.build(_request(dockerfile, timeout_seconds=3), lambda _: None)
    assert asyncio.get_running_loop().time() - started < 10
    async with asyncio.timeout(10):
        while _running(api, marker):  # noqa: ASYNC110 - the engine gives no sign
            await asyncio.sleep(0.1)


def _running(api: docker.APIClient, marker: str) -> list[str]:
    return [each["Id"] for each in api.containers() if marker in each["Command"]]


async def test_a_build_cannot_take_more_memory_than_the_policy_says(
    images: DockerImages, base: str, tmp_path: Path
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {base}\nRUN python3 -c 'bytearray(200 << 20)'\n")

    with pytest.raises(BuildFailed, match="non-zero code: 137"):
        await images.build(_request(dockerfile, memory_bytes=64 << 20), lambda _: None)


# --- looking into images ------------------------------------------------------------------------


@pytest.fixture
async def odd(images: DockerImages, tmp_path: Path) -> str:
    """An image whose files are not what they seem."""
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as tar:
        for name, kind, target in (
            ("plugin", tarfile.DIRTYPE, ""),
            ("plugin/link", tarfile.SYMTYPE, "/etc/passwd"),
            ("plugin/pipe", tarfile.FIFOTYPE, ""),
            ("etc", tarfile.DIRTYPE, ""),
            ("up", tarfile.SYMTYPE, "../../../../etc"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o755
            tar.addfile(info)
        for name, content in (("plugin/ten", b"0123456789"), ("etc/passwd", b"inside")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    tag = f"orchestrator/{MARK}:odd-{os.urandom(3).hex()}"
    return await images.import_root(
        archive, tag=tag, changes={"PATH": "/bin", "WORDS": 'a "b" c'}, labels={"color": "deep red"}
    )


async def test_an_imported_root_has_its_environment_and_labels(
    api: docker.APIClient, images: DockerImages, odd: str
) -> None:
    assert await images.labels(odd) == {"color": "deep red"}
    assert set(api.inspect_image(odd)["Config"]["Env"]) == {"PATH=/bin", 'WORDS=a "b" c'}  # type: ignore[no-untyped-call]


async def test_a_plain_file_is_read_up_to_its_bound(images: DockerImages, odd: str) -> None:
    assert await images.read_file(odd, "/plugin/ten", max_bytes=10) == b"0123456789"
    with pytest.raises(EngineFailure, match="larger than 9 bytes"):
        await images.read_file(odd, "/plugin/ten", max_bytes=9)


@pytest.mark.parametrize("path", ["/plugin/link", "/plugin", "/plugin/pipe", "/up"])
async def test_links_folders_and_pipes_are_not_read(
    images: DockerImages, odd: str, path: str
) -> None:
    with pytest.raises(EngineFailure, match="a plain file is expected"):
        await images.read_file(odd, path, max_bytes=100)


async def test_a_link_above_the_file_stays_inside_the_image(images: DockerImages, odd: str) -> None:
    assert await images.read_file(odd, "/up/passwd", max_bytes=100) == b"inside"


async def test_a_missing_file_is_none_and_nothing_is_left_behind(
    api: docker.APIClient, images: DockerImages, odd: str
) -> None:
    assert await images.read_file(odd, "/plugin/nowhere", max_bytes=10) is None
    assert api.containers(all=True, filters={"ancestor": odd}) == []


async def test_a_large_file_is_given_up_early(
    images: DockerImages, base: str, tmp_path: Path
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"FROM {base}\nRUN head -c 20000000 /dev/zero > /big\n")
    image = await images.build(_request(dockerfile), lambda _: None)

    with pytest.raises(EngineFailure, match="larger than 1,000 bytes"):
        await images.read_file(image, "/big", max_bytes=1_000)


async def test_an_image_with_a_name_of_ours_is_not_pruned_when_the_users_name_moves_on(
    images: DockerImages, api: docker.APIClient, odd: str
) -> None:
    """Nothing is pruned here, for others' sake: the engine is asked what it would take."""
    users, ours = api.inspect_image(odd)["RepoTags"], f"orchestrator/{MARK}:ours"
    await images.tag(odd, ours)
    for name in users:
        api.remove_image(name)
    dangling = api.images(filters={"dangling": True}, quiet=True)

    assert await images.find(ours) == odd
    assert odd not in dangling


async def test_what_is_not_there_is_not_found(images: DockerImages) -> None:
    missing = f"orchestrator/{MARK}:nowhere"

    assert await images.find(missing) is None
    with pytest.raises(ImageNotFound):
        await images.labels(missing)
    with pytest.raises(ImageNotFound):
        await images.tag(missing, f"orchestrator/{MARK}:more")
    with pytest.raises(ImageNotFound):
        await images.read_file(missing, "/x", max_bytes=1)


async def test_what_cannot_be_pulled_is_told_in_time(images: DockerImages) -> None:
    with pytest.raises((EngineUnavailable, ImageNotFound), match="could not be pulled"):
        await images.pull("127.0.0.1:9/nowhere:1", timeout_seconds=10)


def test_no_reader_container_is_left(api: docker.APIClient) -> None:
    """Last of the file: of all the images read above."""
    left = api.containers(all=True, filters={"label": LABEL_READER})

    assert [each for each in left if MARK in each["Image"]] == []
