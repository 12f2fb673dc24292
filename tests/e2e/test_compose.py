"""grafana/compose.yaml, for those who run their own: Compose takes it, and Prometheus runs by it.

The images that it names come from a registry; the Prometheus of the distribution stands in, as the
orchestrator itself makes it where no registry is reached. Grafana has no such stand-in.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.stack_images import ensure_prometheus_image
from orchestrator.model.monitoring import MonitoringConfig
from tests.support.instance import engine, eventually, new_name
from tests.support.prometheus import Prometheus, free_ports
from tests.unit.pages import ROOT

pytestmark = pytest.mark.docker

FILE = ROOT / "grafana" / "compose.yaml"


class Compose:
    """A project of the test's own, with an overlay of its own."""

    def __init__(self, folder: Path) -> None:
        self.name = new_name()
        self._overlay = folder / "overlay.yaml"

    def overlay(self, **services: Any) -> None:
        self._overlay.write_text(yaml.safe_dump({"services": services}))

    def run(self, *arguments: str) -> str:
        files = ["-f", str(FILE), "-f", str(self._overlay)]
        done = subprocess.run(
            ["docker-compose", "--project-name", self.name, *files, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    subprocess.run([Path(__file__).with_name("compose.sh")], check=True, timeout=600)
    made = Compose(tmp_path)
    made.overlay(prometheus={"labels": {"test": made.name}})
    yield made
    made.run("down", "--volumes")


@pytest.fixture
async def image(tmp_path: Path) -> str:
    """The distribution's Prometheus; made already where other tests ran."""
    clients = DockerClients.connect()
    try:
        return await ensure_prometheus_image(
            DockerImages(clients),
            MonitoringConfig().prometheus_image,
            cache=tmp_path,
            progress=lambda _line: None,
        )
    finally:
        await clients.aclose()


def test_compose_takes_the_file_and_names_the_images_of_the_policy(compose: Compose) -> None:
    services = yaml.safe_load(compose.run("config"))["services"]
    policy = MonitoringConfig()

    assert services["prometheus"]["image"] == policy.prometheus_image
    assert services["grafana"]["image"] == policy.grafana_image


def test_prometheus_runs_by_it_with_the_rules_and_the_daemon_as_its_target(
    compose: Compose, image: str
) -> None:
    [port] = free_ports(1)
    [*command, _] = yaml.safe_load(FILE.read_text())["services"]["prometheus"]["command"]
    compose.overlay(
        prometheus={
            "image": image,
            "entrypoint": ["/bin/prometheus"],
            "command": [*command, f"--web.listen-address=127.0.0.1:{port}"],
            "user": "0:0",  # whose the folder is in a volume that no image filled
        }
    )
    compose.run("up", "--detach", "prometheus")
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    eventually(prometheus.ready, seconds=60)
    rules = prometheus.ask("rules")["groups"]
    targets = eventually(lambda: prometheus.ask("targets")["activeTargets"], seconds=60)
    with engine() as client:
        [container] = client.containers(
            filters={"label": f"com.docker.compose.project={compose.name}"}
        )
        host = client.inspect_container(container["Id"])["HostConfig"]

    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}
    assert "PluginDown" in {rule["name"] for group in rules for rule in group["rules"]}
    assert [target["labels"]["job"] for target in targets] == ["orchestrator"]
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
