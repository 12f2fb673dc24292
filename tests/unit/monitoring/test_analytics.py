"""PluginAnalytics of a whole orchestrator over the in-memory engine, asked through its API."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from orchestrator.daemon.router import ManagerRouter
from orchestrator.monitoring.known import newest_of, versions_in
from orchestrator.monitoring.plugin_metrics import Newer
from orchestrator.monitoring.samples import Sample
from orchestrator.monitoring.timeframe import TimeframeInvalid
from orchestrator.sandbox.call import Call, CallFailure, Reply
from orchestrator.sandbox.desk import invoke
from tests.chaos.paper_house import PaperHouse

SECONDS = 20.0
TOOL = {"tools": [{"name": "scan", "description": "Scans."}]}
TALK = {"permissions": ["plugin_communication"], "publishes": ["a.b"]}


async def _get(house: PaperHouse, target: str) -> tuple[int, Any]:
    """One request, as uvicorn would hand it to the application."""
    path, _, query = target.partition("?")
    parts: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        parts.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("orchestrator", 80),
        "client": None,
        "root_path": "",
    }
    async with asyncio.timeout(SECONDS):
        await house.daemon.api.app()(cast("Any", scope), receive, cast("Any", send))
    body = b"".join(part.get("body", b"") for part in parts[1:])
    return parts[0]["status"], json.loads(body)


async def _call(house: PaperHouse, plugin_id: str = "notes", **parts: Any) -> Any:
    door = ManagerRouter(house.daemon.manager).route(plugin_id)
    assert not isinstance(door, CallFailure)
    wish = {"request_id": "t1", "deadline_seconds": SECONDS, "caller": "operator", **parts}
    return await invoke(door, Call(**{"content_length": 2, **wish}), b"{}")


async def test_a_plugins_calls_are_told_at_once_in_the_four_groups(house: PaperHouse) -> None:
    house.plugin("notes", info=TOOL)
    house.plugin("other")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        for _ in range(3):
            assert isinstance(await _call(house), Reply)
        await _call(house, tool="scan", caller="plugin:other")

        status, told = await _get(house, "/v1/analytics/plugins/notes?timeframe=15m")

        assert status == 200
        assert {"performance", "usage", "health", "security"} <= told.keys()
        assert (told["usage"]["calls"], told["usage"]["failed"]) == (4, 0)
        assert {tool["name"]: tool["calls"] for tool in told["usage"]["tools"]} == {
            "": 3,
            "scan": 1,
        }
        assert {one["name"]: one["calls"] for one in told["usage"]["callers"]} == {
            "operator": 3,
            "plugin:other": 1,
        }
        assert told["performance"]["success_rate"] == 1.0
        assert 0 < told["performance"]["execution_seconds"]["min"] < SECONDS
        assert told["health"]["plugin_status"] == "active"
        assert told["health"]["version_compatible"] is True


async def test_a_restarted_daemon_counts_on_and_nothing_twice(house: PaperHouse) -> None:
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        await _call(house)
        await _call(house)
        await house.daemon.figures.keeper.flush()
    async with house.daemon_runs():
        await house.converged()
        await _call(house)

        _, told = await _get(house, "/v1/analytics/report?timeframe=1h")

    assert told["summary"]["calls"] == 3
    assert [(one["plugin_id"], one["usage"]["calls"]) for one in told["plugins"]] == [("notes", 3)]
    assert told["error_budget"]["burn"] == 0.0


async def test_the_last_calls_of_a_daemon_that_ends_are_kept(house: PaperHouse) -> None:
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        await _call(house)
    async with house.daemon_runs():
        await house.converged()
        report = await house.daemon.figures.analytics.generate_report("15m")

    assert report["summary"]["calls"] == 1


async def test_a_clock_that_is_set_back_makes_nothing_negative(house: PaperHouse) -> None:
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        await _call(house)
        house.clock.ahead_seconds = -3_600.0
        await _call(house)
        await house.daemon.figures.keeper.flush()
        house.clock.ahead_seconds = 0.0
        await _call(house)

        report = await house.daemon.figures.analytics.generate_report("24h")

    assert report["summary"]["calls"] == 3
    points = [point["calls"] for point in report["series"]["points"] if point["calls"]]
    assert sum(points) == 3


async def test_a_plugin_that_was_taken_away_is_still_told_of(house: PaperHouse) -> None:
    house.plugin("notes")
    house.plugin("todo")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        await _call(house)
        house.drop("notes")
        await house.up()
        await house.converged()

        _, told = await _get(house, "/v1/analytics/report?timeframe=15m")
        missing, _ = await _get(house, "/v1/analytics/plugins/notes")

    found = {one["plugin_id"]: (one["deployed"], one["usage"]["calls"]) for one in told["plugins"]}
    assert found == {"notes": (False, 1), "todo": (True, 0)}
    assert missing == 404


async def test_limits_and_permissions_are_weighed(house: PaperHouse) -> None:
    info = {**TALK, "limits": {"max_memory_mb": 100}}
    house.plugin("notes", info=info, permissions=["plugin_communication"])
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        near = Sample(at=0.0, memory_bytes=99 << 20, memory_limit_bytes=100 << 20)
        for listener in house.daemon.monitoring.sampler._listeners:
            for _ in range(40):
                listener({"notes": near})

        _, told = await _get(house, "/v1/analytics/report")

    assert [(one["limit"], one["direction"]) for one in told["advice"]] == [
        ("max_memory_mb", "raise")
    ]
    assert [(one["permission"], one["verdict"]) for one in told["permissions"]] == [
        ("plugin_communication", "unused")
    ]
    assert told["versions"] == []


# -- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deployed", "known", "newest"),
    [
        ("1.0.0", [], None),
        ("1.0.0", ["1.0.0", "0.9.0"], None),
        ("1.0.0", ["1.1.0", "1.10.0", "1.9.0"], "1.10.0"),
        ("1.0.0-beta.1", ["1.0.0"], "1.0.0"),
    ],
)
def test_the_newest_version_that_is_known_is_told(
    deployed: str, known: list[str], newest: str | None
) -> None:
    found = newest_of(deployed, [Newer(version=version, where="here") for version in known])

    assert (found.version if found is not None else None) == newest


def test_a_plugins_folder_says_which_version_is_there_by_now(tmp_path: Path) -> None:
    about = {
        "plugin_id": "notes",
        "name": "Notes",
        "version": "2.0.0",
        "author": "A",
        "description": "D",
        "category": "analytics",
        "entry_point": "notes:Notes",
    }
    for name, text in {
        "notes": yaml.safe_dump(about),
        "another": yaml.safe_dump(about),
        "broken": "version: [",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "plugin.yaml").write_text(text)
    folders = {name: str(tmp_path / name) for name in ("notes", "another", "broken", "gone")}

    assert versions_in({**folders, "image": ""}) == {
        "notes": [Newer(version="2.0.0", where="its folder")]
    }


# -- what is asked ------------------------------------------------------------------------------


async def test_two_looks_tell_what_came_between(house: PaperHouse) -> None:
    house.plugin("notes")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        _, before = await _get(house, "/v1/analytics/live")
        await _call(house)
        _, after = await _get(house, "/v1/analytics/live")

    [then], [now] = before["plugins"], after["plugins"]
    assert (now["calls"] - then["calls"], now["failed"]) == (1, 0)
    assert sum(now["buckets"]) - sum(then["buckets"]) == 1
    assert (before["daemon"], after["at"] > before["at"]) == (after["daemon"], True)
    assert (now["in_flight"], now["queued"]) == (0, 0)


@pytest.mark.parametrize("timeframe", ["", "1w", "-1h", "%00", "24h&timeframe=x"])
async def test_a_timeframe_that_is_none_is_refused(house: PaperHouse, timeframe: str) -> None:
    async with house.daemon_runs():
        if timeframe == "24h&timeframe=x":
            with pytest.raises(TimeframeInvalid):
                await house.daemon.figures.analytics.generate_report("x")
            return
        status, told = await _get(house, f"/v1/analytics/report?timeframe={timeframe}")

    assert (status, told["code"]) == (422, "timeframe_invalid")


async def test_an_empty_ecosystem_has_a_report_too(house: PaperHouse) -> None:
    async with house.daemon_runs():
        status, told = await _get(house, "/v1/analytics/report")

    assert (status, told["plugins"], told["summary"]["calls"]) == (200, [], 0)


async def test_a_full_disk_is_told_by_status(
    house: PaperHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.daemon_runs():
        house.daemon.figures.keeper.trouble = "statistics could not be written: disk full"
        _, told = await _get(house, "/v1/status")

    assert told["state_trouble"] == "statistics could not be written: disk full"
