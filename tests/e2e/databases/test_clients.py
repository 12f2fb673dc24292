"""Real clients from here through a broker to real databases: how it ends, cuts and lets pass."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from orchestrator.clock import SystemClock
from orchestrator.manager.databases import database_targets
from orchestrator.model.policy import SecurityPolicy
from orchestrator.sandbox.database_broker import DatabaseBroker
from orchestrator.sandbox.meter import NetworkMeter
from tests.e2e.databases.conftest import Services
from tests.unit.sandbox.broker_house import MemoryAuditor, until

pytestmark = pytest.mark.docker  # its databases come with what the tests of that mark install


@dataclass(kw_only=True)
class Bench:
    folder: Path
    broker: DatabaseBroker
    meter: NetworkMeter
    password: str

    def postgresql(self) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(
            host=str(self.folder / "db/main"),
            user="tester",
            dbname="postgres",
            password=self.password,
        )

    def redis(self) -> "redis.Redis":
        path = str(self.folder / "db/cache/redis.sock")
        return redis.Redis(unix_socket_path=path, password=self.password)


@pytest.fixture(params=["unix", "tcp"])
def policy(request: pytest.FixtureRequest, services: Services) -> SecurityPolicy:
    sockets = (services.postgresql_socket, services.redis_socket)
    ports = (f"127.0.0.1:{services.postgresql_port}", f"localhost:{services.redis_port}")
    main, cache = sockets if request.param == "unix" else ports
    return SecurityPolicy.model_validate(
        {
            "databases": {
                "main": {"kind": "postgresql", "address": main},
                "cache": {"kind": "redis", "address": cache},
            }
        }
    )


@pytest.fixture
async def bench(tmp_path: Path, services: Services, policy: SecurityPolicy) -> AsyncIterator[Bench]:
    clock = SystemClock()
    meter = NetworkMeter(limit_bytes=1 << 20, window_seconds=3_600, now=clock.now)
    broker = DatabaseBroker(
        plugin_id="reader",
        targets=database_targets(("main", "cache"), policy),
        meter=meter,
        auditor=MemoryAuditor(),
        clock=clock,
    )
    await broker.open(tmp_path / "sockets")
    yield Bench(folder=tmp_path / "sockets", broker=broker, meter=meter, password=services.password)
    broker.close()
    await until(lambda: not broker.connections)


async def test_psycopg_and_redis_work_through_the_sockets(bench: Bench) -> None:
    def use() -> tuple[Any, Any]:
        with bench.postgresql() as connection:
            row = connection.execute("SELECT 6 * 7, repeat('x', 100000)").fetchone()
        with bench.redis() as cache:
            cache.set("big", "y" * 100_000)
            return row, cache.get("big")

    row, value = await asyncio.to_thread(use)

    assert row == (42, "x" * 100_000)
    assert value == b"y" * 100_000
    assert 300_000 < bench.meter.used() < 310_000


async def test_a_wrong_password_is_the_databases_own_answer(bench: Bench) -> None:
    bench.password = "wrong"  # noqa: S105 - it is

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await asyncio.to_thread(bench.postgresql)


async def test_a_query_is_cancelled_over_a_connection_of_its_own(bench: Bench) -> None:
    def use() -> None:
        with bench.postgresql() as connection:
            connection.cancel_safe(timeout=30)
            connection.execute("SELECT 1")

    await asyncio.to_thread(use)

    assert bench.meter.used() > 0


async def test_beyond_the_quota_the_database_is_gone(bench: Bench) -> None:
    def refused(question: Callable[[], Any]) -> None:
        with pytest.raises(psycopg.OperationalError):
            question()

    connection = await asyncio.to_thread(bench.postgresql)
    await asyncio.to_thread(
        refused, lambda: connection.execute("SELECT repeat('x', 2000000)").fetchone()
    )
    connection.close()
    await asyncio.to_thread(refused, bench.postgresql)

    assert bench.meter.used() == 1 << 20


async def test_close_is_an_emergency_brake_in_the_middle_of_a_query(bench: Bench) -> None:
    connection = await asyncio.to_thread(bench.postgresql)

    def use() -> None:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(600)")
        connection.close()

    async with asyncio.TaskGroup() as group:
        used = bench.meter.used()
        group.create_task(asyncio.to_thread(use))
        await until(lambda: bench.meter.used() > used)
        bench.broker.close()

    assert not (bench.folder / "db/main/.s.PGSQL.5432").exists()
