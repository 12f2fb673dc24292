"""A small ecosystem and a day of it: what reports are tried with, and looked at."""

import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import (
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    PluginCommunication,
    UserInterface,
)
from orchestrator.model.policy import AnalyticsPolicy, SecurityPolicy
from orchestrator.monitoring.aggregates import Calls, Key, Row, RowKind, merged
from orchestrator.monitoring.counts import Level, Sampled
from orchestrator.monitoring.figures import PluginFigures, Timeframe, figures
from orchestrator.monitoring.plugin_metrics import Facts, Newer
from orchestrator.monitoring.report import Surroundings, report
from orchestrator.monitoring.sketch import Gauge
from orchestrator.monitoring.tally import BOUNDS

NOW = 1_796_000_400.0
MIB = 1 << 20
HOSTILE = "</title><script>alert(1)</script>\x1b[31m\"'&<b>"

FACTS = (
    Facts(
        plugin_id="knowledge-search",
        name="Knowledge search",
        version="1.4.0",
        status="active",
        sub_state="running",
        limits=ResourceLimits(max_memory_mb=256, max_cpu_percent=50),
        permissions=(FileSystemRead(shares=("documents",)), FileSystemWrite(), UserInterface()),
        newer=Newer(version="1.5.0", where="its folder"),
        core_version="0.1.0",
        min_core_version="0.1.0",
    ),
    Facts(
        plugin_id="data-pipeline",
        name="Data pipeline",
        version="2.0.1",
        status="active",
        sub_state="running",
        limits=ResourceLimits(max_memory_mb=512, max_cpu_percent=40),
        permissions=(FileSystemRead(shares=("datasets",)),),
        dependencies={"knowledge-search": "active"},
    ),
    Facts(
        plugin_id="secret-scanner",
        name="Secret scanner",
        version="1.0.0",
        status="active",
        sub_state="degraded",
        detail="degraded: knowledge-search is slow",
        limits=ResourceLimits(max_memory_mb=1_024, max_cpu_percent=100),
        permissions=(ExternalApi(hosts=("api.example.com:443",)), PluginCommunication()),
    ),
    Facts(
        plugin_id="mail-relay",
        name="Mail relay",
        version="0.9.0",
        status="error",
        sub_state="backing_off",
        detail="oom_killed; next start in 30 s",
        limits=ResourceLimits(max_memory_mb=64),
        permissions=(ExternalApi(hosts=("smtp.example.com:587",)),),
    ),
    Facts(plugin_id="calendar", name="Calendar", version="1.0.0", status="inactive"),
)
_LOAD = {
    # plugin: (calls a minute, seconds, share that fails, MiB, CPU %, tools)
    "knowledge-search": (40, 0.012, 0.002, 236, 18, ("search", "index", "suggest")),
    "data-pipeline": (9, 0.35, 0.004, 180, 39, ("query", "import_csv")),
    "secret-scanner": (4, 0.006, 0.0, 60, 4, ("scan_text", "scan_share")),
    "mail-relay": (2, 0.09, 0.08, 60, 3, ("",)),
}


def calls(rng: random.Random, count: int, seconds: float, failing: float) -> Calls:
    """So many calls around that time."""
    times = [seconds * math.exp(rng.gauss(0, 0.6)) for _ in range(count)]
    buckets = [0] * (len(BOUNDS) + 1)
    for time in times:
        buckets[bisect_left(BOUNDS, time)] += 1
    return Calls(
        count=count,
        failed=sum(rng.random() < failing for _ in times),
        seconds=sum(times),
        least=min(times, default=math.inf),
        most=max(times, default=0.0),
        buckets=tuple(buckets),
    )


def _plugin_row(rng: random.Random, limits: ResourceLimits, one: Calls, name: str) -> Row:
    _, _, _, memory, cpu, _ = _LOAD[name]
    used_cpu = min(limits.max_cpu_percent, cpu * math.exp(rng.gauss(0, 0.2)))
    held_back = 180.0 if name == "data-pipeline" else 2.0
    counts = {
        "outcome:ok": float(one.count - one.failed),
        "outcome:deadline_exceeded": float(one.failed),
        "state:active": 0.0 if name == "mail-relay" and rng.random() < 0.3 else 1.0,
        Sampled.PERIODS: 600.0,
        Sampled.THROTTLED_PERIODS: held_back,
        Sampled.THROTTLED_SECONDS: held_back / 20,
    }
    counts["state:error"] = 1.0 - counts["state:active"]
    used = memory * MIB * (1 + rng.gauss(0, 0.02))
    return Row(
        calls=one,
        counts={name: number for name, number in counts.items() if number},
        gauges={
            Level.MEMORY: Gauge.of(used, limits.max_memory_mb * MIB),
            Level.CPU: Gauge.of(used_cpu, limits.max_cpu_percent),
            Level.DISK: Gauge.of(20_480, 50 * MIB),
            Level.NETWORK: Gauge.of(0, 10 * MIB),
        },
    )


def rows(seconds: float, seed: int = 7) -> Iterator[tuple[int, Key, Row]]:
    """A row each ten minutes, or an hour where that is much."""
    rng, step = random.Random(seed), 600 if seconds <= 86_400 else 3_600  # noqa: S311 - figures
    known = {facts.plugin_id: facts for facts in FACTS}
    for begin in range(int((NOW - seconds) // step) * step, int(NOW), step):
        day = 1 + 0.7 * math.sin((begin % 86_400) / 86_400 * 2 * math.pi - 1.5)
        for name, (rate, time, failing, _, _, tools) in _LOAD.items():
            parts = {
                tool: calls(rng, int(rng.expovariate(1) * rate * day / len(tools)), time, failing)
                for tool in tools
            }
            whole = Calls()
            for tool, part in parts.items():
                whole = merged((Row(calls=whole), Row(calls=part))).calls
                if part.count:
                    yield begin, Key(name, RowKind.TOOL, tool), Row(calls=part)
            yield begin, Key(name), _plugin_row(rng, known[name].limits, whole, name)
            by = {"operator": whole.count * 2 // 3, "plugin:secret-scanner": whole.count // 3}
            for caller, count in by.items():
                if count and caller != f"plugin:{name}":
                    yield begin, Key(name, RowKind.CALLER, caller), Row(calls=Calls(count=count))
        if begin % 14_400 == 0:
            died = {"event:died": 1.0, "event:restarted": 1.0, "event:out_of_memory": 1.0}
            refused = {"refused:host_not_granted": 3.0, "refused:quota_exceeded": 1.0}
            yield begin, Key("mail-relay"), Row(counts=died)
            yield begin, Key("secret-scanner"), Row(counts=refused)


def timeframe(name: str = "24h", seconds: float = 86_400.0, point: int = 3_600) -> Timeframe:
    return Timeframe(name=name, begin=NOW - seconds, end=NOW, point_seconds=point)


@cache
def _figures_of_a_day() -> dict[str, PluginFigures]:
    frame = timeframe()
    return figures(rows(frame.seconds), frame)


def sample_report(*, hostile: bool = False, empty: bool = False) -> dict[str, Any]:
    """A day of the ecosystem; with `hostile` every name in it is an attack."""
    frame = timeframe()
    found = {} if empty else dict(_figures_of_a_day())
    facts = list(() if empty else FACTS)
    if hostile:
        facts.append(
            replace(
                FACTS[0],
                plugin_id=HOSTILE,
                name=HOSTILE,
                version=HOSTILE,
                detail=HOSTILE,
                status="error",
                newer=Newer(version=HOSTILE, where=HOSTILE),
                dependencies={HOSTILE: HOSTILE},
            )
        )
        mean = calls(random.Random(1), 50, 0.2, 0.3)  # noqa: S311 - figures
        found[HOSTILE] = replace(
            found["mail-relay"],
            tools={HOSTILE: Row(calls=mean)},
            callers={HOSTILE: Row(calls=mean)},
            row=found["mail-relay"].row.plus(
                Row(counts={f"refused:{HOSTILE}": 1.0, f"outcome:{HOSTILE}": 2.0})
            ),
        )
    policy = SecurityPolicy()
    around = Surroundings(
        instance=HOSTILE if hostile else "default",
        policy=AnalyticsPolicy(),
        ceilings=policy.ceilings,
    )
    return report(facts, found, frame, around)
