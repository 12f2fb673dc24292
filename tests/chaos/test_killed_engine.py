"""`kill -9` of the engine under a daemon that uses it, and its start anew."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.engine.base_image import base_tag
from tests.chaos.second_engine import SecondEngine
from tests.chaos.yard import SECONDS, Yard
from tests.support.instance import Instance, eventually, new_name
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]

MOST_FILES = 32
"""More than before: clients of the engine keep some connections."""


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
    workshop.small("e2e-base")
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
    before, files = _runs(second), yard.open_files
    second.kill()
    eventually(lambda: "lost" in _news(yard), seconds=SECONDS)
    during = yard.echo("e2e-ask")
    second.start()
    eventually(lambda: "found" in _news(yard), seconds=SECONDS)
    yard.converged()
    answers = [yard.echo(name) for name in yard.wanted]
    eventually(lambda: yard.open_files <= files + MOST_FILES, seconds=SECONDS)

    assert during == 200  # the engine's death is not its containers'
    assert answers == [200, 200]
    assert (_runs(second) == before) is second.live_restore
    assert yard.audit_is_whole()


def _news(yard: Yard) -> set[str]:
    """The last words of the latest events' types."""
    return {event["type"].rpartition(".")[2] for event in yard.client.events()}


def _runs(second: SecondEngine) -> dict[str, str]:
    """Plugin → when its container began to run."""
    with second.client() as client:
        found = [client.inspect_container(c["Id"]) for c in client.containers(all=True)]
    return {c["Config"]["Labels"]["orchestrator.plugin"]: c["State"]["StartedAt"] for c in found}
