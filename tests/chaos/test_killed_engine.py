"""`kill -9` of the engine under a daemon that uses it, and its start anew."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.engine.base_image import base_tag
from tests.chaos.aftermath import EAR, Aftermath
from tests.chaos.second_engine import SecondEngine
from tests.chaos.yard import SECONDS, Yard
from tests.support.instance import Instance, eventually, new_name
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]


@pytest.fixture(params=["live-restore", "plain"])
def second(request: pytest.FixtureRequest) -> Iterator[SecondEngine]:
    # Not below pytest's folder: addresses of unix sockets end at 107 bytes.
    made = SecondEngine(Path(tempfile.mkdtemp(prefix="o-")), live_restore=request.param != "plain")
    try:
        made.start()
        made.load(base_tag())
        yield made
    finally:
        made.end()


@pytest.fixture
def yard(second: SecondEngine, tmp_path: Path, binary: Path) -> Iterator[Yard]:
    """Two plugins on that engine; nothing of them may be left on it."""
    instance = Instance(tmp_path, new_name())
    instance.variables["DOCKER_HOST"] = second.address
    workshop, made = Workshop(instance, binary), Yard(instance)
    workshop.small("e2e-base", info=EAR)
    workshop.small("e2e-ask", info={"dependencies": ["e2e-base"]})
    with made.open():
        made.start()
        made.up()
        made.converged()
        yield made
        made.client.shut_down(down=True, volumes=True)
    with second.client() as client:
        left = client.containers(all=True)
    assert left == []


def test_an_engine_that_is_killed_and_started_again_is_found_and_its_plugins_with_it(
    second: SecondEngine, yard: Yard
) -> None:
    before, aftermath = _runs(second), Aftermath(yard, ear="e2e-base")
    second.kill()
    eventually(lambda: "lost" in _news(yard), seconds=SECONDS)
    during = yard.echo("e2e-ask")
    taken = [aftermath.publish() for _ in range(5)]
    second.start()
    eventually(lambda: "found" in _news(yard), seconds=SECONDS)
    aftermath.check()

    assert during == 200  # the engine's death is not its containers'
    assert taken == [True] * 5
    assert (_runs(second) == before) is second.live_restore


def _news(yard: Yard) -> set[str]:
    """The last words of the latest events' types."""
    return {event["type"].rpartition(".")[2] for event in yard.client.events()}


def _runs(second: SecondEngine) -> dict[str, str]:
    """Plugin → when its container began to run."""
    with second.client() as client:
        found = [client.inspect_container(c["Id"]) for c in client.containers(all=True)]
    return {c["Config"]["Labels"]["orchestrator.plugin"]: c["State"]["StartedAt"] for c in found}
