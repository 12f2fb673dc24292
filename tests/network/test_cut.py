"""The network behind a broker is cut for real: packets go out, and nothing ever comes back.

What else a broker must bear of silent peers, without a network of its own, is in
tests/chaos/test_cut_network.py.
"""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.sandbox.egress_broker import EGRESS_SOCKET, EgressBounds, EgressBroker
from orchestrator.sandbox.egress_policy import EgressRules
from orchestrator.sandbox.egress_uplink import HostUplink
from orchestrator.sandbox.meter import NetworkMeter
from tests.support.internet import FAR, GREETING, NAMESPACE, PORTS
from tests.unit.sandbox.broker_house import MemoryAuditor, Raw, SlowClock, until
from tests.unit.sandbox.egress_house import connect
from tests.unit.sandbox.house import open_files

pytestmark = [pytest.mark.docker, pytest.mark.chaos, pytest.mark.usefixtures("internet")]

TARGET, MANY = f"far.test:{PORTS[0]}", 10
BOUNDS = EgressBounds(idle_seconds=1.0, connect_seconds=1.0, burst=1_000)
LATE_SECONDS = 10.0
"""On a busy machine."""


class Named(HostUplink):
    """The machine's own network; one name leads to the far side."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return [FAR]


@contextmanager
def cut() -> Iterator[None]:
    """No packet comes in at the far side, and so none comes back; nobody is told."""
    rule = ["ip", "netns", "exec", NAMESPACE, "iptables", "--wait", "{}", "INPUT", "--jump", "DROP"]
    subprocess.run([word.format("--insert") for word in rule], check=True)
    try:
        yield
    finally:
        subprocess.run([word.format("--delete") for word in rule], check=True)


@pytest.fixture
def broker(tmp_path: Path) -> EgressBroker:
    clock = SlowClock()
    return EgressBroker(
        plugin_id="asker",
        rules=EgressRules.of(hosts=[TARGET], allowed_private=(f"{FAR}/32",), inject={}),
        meter=NetworkMeter(limit_bytes=1 << 20, window_seconds=3_600, now=clock.now),
        auditor=MemoryAuditor(),
        clock=clock,
        uplink=Named(),
        bounds=BOUNDS,
    )


async def ask(path: Path) -> tuple[Raw, int]:
    raw = await Raw.to(path)
    raw.send(connect(TARGET))
    status, _ = await raw.head()
    return raw, status


async def test_connections_end_in_time_and_new_ones_go_through_once_it_is_mended(
    tmp_path: Path, broker: EgressBroker
) -> None:
    await broker.open(tmp_path)
    path, before = tmp_path / EGRESS_SOCKET, open_files()
    standing = [await ask(path) for _ in range(MANY)]
    greetings = [await raw.reader.readexactly(len(GREETING)) for raw, _ in standing]
    with cut():
        since = time.monotonic()
        for raw, _ in standing:
            raw.send(b"into nowhere")
        rests = [await raw.rest() for raw, _ in standing]
        refused = [await ask(path) for _ in range(2)]
        seconds = time.monotonic() - since
    again = await ask(path)
    greeting = await again[0].reader.readexactly(len(GREETING))
    for raw, _ in (*standing, *refused, again):
        await raw.close()
    await until(lambda: open_files() <= before)
    broker.close()

    assert [status for _, status in (*standing, again)] == [200] * (MANY + 1)
    assert {*greetings, greeting} == {GREETING.encode()}
    assert rests == [b""] * MANY
    assert [status for _, status in refused] == [502, 502]
    assert seconds < LATE_SECONDS
