"""What /metrics tells of the daemon itself, its engine and host, and the code sandbox."""

import os
import platform
import resource
from pathlib import Path

from orchestrator.manager.desired import promised
from orchestrator.monitoring.board import Board
from orchestrator.monitoring.sources import Sources
from orchestrator.policy.admission import capacity_bytes, promised_to_code
from orchestrator.version import CORE_VERSION


def tell_daemon(sources: Sources, board: Board) -> None:
    """All of it."""
    _tell_code(sources, board)
    board.put("build_info", 1, CORE_VERSION, platform.python_version())
    if address := sources.logs_origin():
        board.put("logs_page_info", 1, address)
    board.put("daemon_started_at_seconds", sources.started_at)
    board.put("daemon_memory_bytes", _resident_bytes())
    times = os.times()
    board.put("daemon_cpu_seconds_total", times.user + times.system)
    board.put("daemon_open_fds", len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - the quick one
    board.put("daemon_loop_lag_seconds", sources.looks.loop_lag)
    for task, count in sources.happenings.task_failures.items():
        board.put("daemon_task_failures_total", count, task)
    board.put("slo_ratio", sources.fleet.policy.analytics.slo_percent / 100)
    board.put("engine_up", not sources.loop.engine_lost)
    _tell_memory(sources, board)
    board.put("scrape_duration_seconds", sources.scrape_seconds)


def _tell_code(sources: Sources, board: Board) -> None:
    for reason, count in sources.happenings.code_runs.items():
        board.put("code_runs_total", count, reason)
    board.spread("code_run_duration_seconds", sources.happenings.code_times)
    pools = sources.code.pools().values()
    board.put("code_pool_waiting", sum(pool.ready for pool in pools))
    board.put("code_pool_starting", sum(pool.starting for pool in pools))
    board.put("code_pool_size", sources.fleet.policy.code.pool_size * len(pools))


def _tell_memory(sources: Sources, board: Board) -> None:
    policy = sources.fleet.policy
    rows = [promised_to_code(policy), *promised(sources.fleet.deployments, first=())]
    board.put("host_memory_promised_bytes", sum(size for _, size in rows))
    engine = sources.looks.engine
    if engine is not None:
        capacity = capacity_bytes(engine.memory_bytes, policy.memory_overcommit)
        board.put("host_memory_admitted_bytes", capacity)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
