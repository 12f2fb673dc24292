"""The image of c-echo, in which there is nothing but the plugin, in a hardened container."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import pytest
from docker.errors import ImageNotFound
from fake_host import FakeHost

HERE = Path(__file__).resolve().parent
TAG = "orchestrator-test/c-echo:test"
LABELS = {"orchestrator.test": "c-echo"}


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    try:
        yield client
    finally:
        for container in client.containers.list(
            all=True, filters={"label": "orchestrator.test=c-echo"}
        ):
            container.remove(force=True)
        with suppress(ImageNotFound):
            client.images.remove(TAG)
        client.close()


@pytest.mark.docker
def test_an_image_of_one_binary_serves_calls_without_network(engine: docker.DockerClient) -> None:
    with TemporaryDirectory() as name, FakeHost(Path(name)) as host:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "plugin.sock").chmod(0o666)
        context = folder / "context"
        context.mkdir()
        subprocess.run(["make", "--quiet", "-C", HERE, f"OUT={context / 'c-echo'}"], check=True)
        for file in ("Dockerfile", "plugin.yaml"):
            (context / file).write_bytes((HERE / file).read_bytes())
        engine.images.build(path=str(context), tag=TAG, labels=LABELS, rm=True)
        container = engine.containers.run(
            TAG,
            detach=True,
            labels=LABELS,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit="8m",
            volumes={name: {"bind": "/run/orchestrator", "mode": "ro"}},
            environment={"ORCHESTRATOR_CONNECTIONS": "1"},
        )
        host.started()
        answer = host.lane("calls").execute({"from": "scratch"})
        container.stop(timeout=5)
        container.reload()

        assert answer.value == {"from": "scratch"}
        assert container.attrs["State"]["ExitCode"] == 0
