"""What the sampler makes of what containers use."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.engine.usage import Usage
from orchestrator.monitoring.sampler import Sampler
from orchestrator.monitoring.samples import Sample
from tests.chaos.paper_house import PaperHouse


def sampler(house: PaperHouse) -> Sampler:
    return house.daemon.monitoring.sampler


def uses(house: PaperHouse, container_id: str, **fields: Any) -> None:
    plain: dict[str, Any] = {"memory_bytes": 1_000, "cpu_seconds": 1.0, "pids": 3}
    house.usages.set(container_id, Usage(**{**plain, **fields}))


def containers(house: PaperHouse, plugin_id: str) -> list[str]:
    found = house.daemon.manager.fleet.containers.values()
    return [it.container_id for it in found if it.label("orchestrator.plugin") == plugin_id]


async def test_of_replicas_use_and_limits_are_sums(house: PaperHouse) -> None:
    house.plugin("notes", replicas=2)
    async with house.daemon_runs():
        await house.up()
        while len(house.daemon.manager.fleet.routes.get("notes", ())) < 2:
            await house.daemon.manager.loop.passed()
        for number, container_id in enumerate(containers(house, "notes")):
            uses(house, container_id, memory_bytes=100 * (number + 1), cpu_seconds=2.0)
        sample = (await sampler(house).sample())["notes"]

    assert (sample.memory_bytes, sample.memory_limit_bytes) == (300, 2 * (100 << 20))
    assert (sample.cpu_seconds_total, sample.cpu_limit_percent) == (4.0, 20)
    assert (sample.pids, sample.pids_limit) == (6, 256)


async def test_totals_go_on_over_a_restart(house: PaperHouse) -> None:
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        container_id = house.container("notes")
        uses(house, container_id, cpu_seconds=5.0, oom_kills=1)
        before = (await sampler(house).sample())["notes"]
        house.engine.die(container_id)
        while house.daemon.manager.fleet.sandbox("notes") is not None:
            await house.daemon.manager.loop.passed()
        during = (await sampler(house).sample())["notes"]
        await house.converged()
        uses(house, house.container("notes"), cpu_seconds=2.0, oom_kills=0)
        after = (await sampler(house).sample())["notes"]

    assert (before.cpu_seconds_total, before.oom_kills_total) == (5.0, 1)
    assert (during.cpu_seconds_total, during.memory_bytes) == (5.0, None)
    assert (after.cpu_seconds_total, after.oom_kills_total) == (7.0, 1)


async def test_the_next_daemon_does_not_count_what_the_last_one_counted(house: PaperHouse) -> None:
    """Its counters begin at 0: a history that is told at once is a jump to Prometheus."""
    house.plugin("notes")
    network = {"sent_bytes": 9_000, "received_bytes": 9_000, "refused_packets": 9}
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        uses(house, house.container("notes"), cpu_seconds=5_000.0, oom_kills=7)
    async with house.daemon_runs():
        await house.converged()
        house.daemon.manager.fleet.networks["notes"] = {**network}
        first = (await sampler(house).sample())["notes"]
        uses(house, house.container("notes"), cpu_seconds=5_002.0, oom_kills=8)
        house.daemon.manager.fleet.networks["notes"] = {**network, "sent_bytes": 9_010}
        then = (await sampler(house).sample())["notes"]
        sent = sampler(house).totals.sum("notes", "sent_bytes")

    assert (first.cpu_seconds_total, first.oom_kills_total) == (0.0, 0)
    assert (then.cpu_seconds_total, then.oom_kills_total) == (2.0, 1)
    assert sent == 10


async def test_one_of_which_nothing_can_be_known_disturbs_no_other(
    house: PaperHouse, caplog: pytest.LogCaptureFixture
) -> None:
    house.plugin("notes")
    house.plugin("todo")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        house.usages.fail(house.container("notes"))
        uses(house, house.container("todo"), memory_bytes=7)
        for _ in range(3):
            found = await sampler(house).sample()

    assert (found["notes"].memory_bytes, found["todo"].memory_bytes) == (None, 7)
    assert found["notes"].cpu_seconds_total is None
    assert len([r for r in caplog.records if "nothing is known" in r.getMessage()]) == 1


async def test_a_disk_larger_than_the_plugins_own_is_another(house: PaperHouse) -> None:
    permissions = ["file_system_write"]
    house.plugin("notes", info={"permissions": permissions}, permissions=permissions)
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        container_id = house.container("notes")
        uses(house, container_id, disk_bytes=9, disk_size_bytes=200 << 30)
        others = (await sampler(house).sample())["notes"]
        uses(house, container_id, disk_bytes=9, disk_size_bytes=49 << 20)
        own = (await sampler(house).sample())["notes"]

    assert (others.disk_bytes, others.disk_limit_bytes) == (None, 50 << 20)
    assert own.disk_bytes == 9


async def test_listeners_are_told_all_samples_of_a_turn(house: PaperHouse) -> None:
    told: list[Mapping[str, Sample]] = []
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        sampler(house).listen(told.append)
        await sampler(house).sample()
        latest = sampler(house).latest

    assert told[-1].keys() == {"notes"}
    assert told[-1] is latest


async def test_what_is_gone_is_forgotten_also_where_nobody_scrapes(house: PaperHouse) -> None:
    house.plugin("notes")
    house.plugin("todo")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        await house.call("todo")
        tally = house.daemon.monitoring.instruments.tally
        before = tally.find("todo")
        house.drop("todo")
        await house.up()
        await house.converged()
        await sampler(house).sample()
        after = tally.find("todo")

    assert before is not None
    assert after is None


async def test_what_a_packet_filter_counted_goes_on_over_its_restarts(house: PaperHouse) -> None:
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        networks = house.daemon.manager.fleet.networks
        for sent, refused in ((1_000, 2), (1_500, 5), (100, 1)):
            networks["notes"] = {
                "sent_bytes": sent,
                "received_bytes": 10 * sent,
                "refused_packets": refused,
            }
            await sampler(house).sample()
        text = (await house.daemon.monitoring.exporter.scrape())[1].decode()

    egress = 'orchestrator_plugin_egress_bytes_total{plugin="notes",host_class="network",direction='
    assert f'{egress}"sent"}} 1600\n' in text
    assert f'{egress}"received"}} 16000\n' in text
    rule = 'orchestrator_security_refusals_total{plugin="notes",rule="packet_refused"}'
    assert f"{rule} 6\n" in text
