"""A PostgreSQL for all tests of this folder, and one instance of the orchestrator for each."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from orchestrator.store.postgres import Database, PostgresStore
from tests.support.postgres import PASSWORD, Server, postgres


@dataclass(slots=True)
class Elsewhere:
    """One instance's records on the server."""

    server: Server
    instance: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")

    def open(self, *, deadline_seconds: float = 60.0, to_read: bool = False) -> PostgresStore:
        database = Database(
            url=self.server.url, instance=self.instance, password=PASSWORD, to_read=to_read
        )
        return PostgresStore.open(database, deadline_seconds=deadline_seconds)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres() as running:
        yield running


@pytest.fixture
def elsewhere(server: Server) -> Elsewhere:
    return Elsewhere(server)
