"""What the whole-way tests share: the C plugin compiled once, and their images taken away."""

import asyncio
import contextlib
import fcntl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from docker.errors import APIError

from tests.support.instance import PLUGINS, Instance, engine
from tests.support.workshop import PREFIX, Workshop


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The daemon's own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("c_echo") / "c-echo"
    subprocess.run(["make", "--quiet", "-C", PLUGINS / "c_echo", f"OUT={out}"], check=True)
    return out


@pytest.fixture(scope="session")
def images() -> Iterator[None]:
    """Images of plugins made for a test are of no use after it; the last run that uses them ends.

    They are named after what is in them, so that runs side by side have them in common.
    """
    with (Path(tempfile.gettempdir()) / "orchestrator-tests-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _remove_images()


def _remove_images() -> None:
    with engine() as client:
        tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
        for tag in tags:
            if tag.startswith(f"orchestrator/{PREFIX}"):
                # A user may be at it.
                with contextlib.suppress(APIError):
                    client.remove_image(tag)


@pytest.fixture
def workshop(instance: Instance, binary: Path, images: None) -> Workshop:
    return Workshop(instance, binary)


@pytest.fixture(scope="module")
def shared_workshop(shared_instance: Instance, binary: Path, images: None) -> Workshop:
    return Workshop(shared_instance, binary)
