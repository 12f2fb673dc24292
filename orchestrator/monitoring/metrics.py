"""The table of every metric at /metrics: docs are generated from it, a test holds both together.

Names follow Prometheus' conventions: base units, `_total` for counters, `_info` for facts. Every
label is bounded: plugins are those that are deployed, all others are closed lists of the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

PREFIX: Final = "orchestrator_"
CUSTOM_PREFIX: Final = "orchestrator_plugin_custom_"
"""What plugins say of themselves in their answer to `status`."""


class MetricKind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row. `name` is without suffixes that the exposition adds (`_bucket`, `_sum`, `_info`)."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()


_C, _G, _H, _I = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM, MetricKind.INFO
_PLUGIN: Final = ("plugin",)

_ROWS: Final[tuple[tuple[str, MetricKind, tuple[str, ...], str], ...]] = (
    # -- calls ----------------------------------------------------------------------------------
    ("plugin_call_duration_seconds", _H, _PLUGIN, "Time from dispatch to the last byte of calls, waiting included; refused calls are left out."),
    ("plugin_call_duration_min_seconds", _G, _PLUGIN, "Shortest call since the daemon started."),
    ("plugin_call_duration_max_seconds", _G, _PLUGIN, "Longest call since the daemon started."),
    ("plugin_calls_total", _C, ("plugin", "outcome"), "Calls that ended, by outcome: ok, plugin_error (it answered 5xx), caller_error (4xx), or why there was no answer."),
    ("slo_ratio", _G, (), "Part of the calls of each plugin that is to succeed (policy.analytics.slo_percent / 100); the alerts on error budgets go by it."),
    ("plugin_call_wait_seconds_total", _C, _PLUGIN, "Time that calls waited before the plugin had them."),
    ("plugin_tool_calls_total", _C, ("plugin", "tool"), "Calls that ended, by declared tool; empty for a plain execute or a page, (other) for tools that are not declared."),
    ("plugin_tool_failures_total", _C, ("plugin", "tool"), "Those of them that did not end with ok."),
    ("plugin_tool_seconds_total", _C, ("plugin", "tool"), "Time that calls took, by tool."),
    ("plugin_caller_calls_total", _C, ("plugin", "caller"), "Calls that ended, by caller: operator, ui, plugin:<id>, or (code) for code that was handed in."),
    ("plugin_calls_in_flight", _G, _PLUGIN, "Calls that run now."),
    ("plugin_calls_queued", _G, _PLUGIN, "Calls that wait for a connection or for the plugin."),
    ("plugin_calls_in_flight_limit", _G, _PLUGIN, "Calls that may run at one time (max_concurrent_requests, all replicas)."),
    ("plugin_calls_queued_limit", _G, _PLUGIN, "Calls that may wait (policy.calls.max_queue)."),
    # -- resources: usage and limit as pairs ------------------------------------------------------
    ("plugin_memory_bytes", _G, _PLUGIN, "Memory in use, caches that can be dropped left out."),
    ("plugin_memory_limit_bytes", _G, _PLUGIN, "Memory limit (max_memory_mb)."),
    ("plugin_cpu_seconds_total", _C, _PLUGIN, "CPU time used by the plugin's containers."),
    ("plugin_cpu_limit_cores", _G, _PLUGIN, "CPU limit in cores (max_cpu_percent / 100)."),
    ("plugin_cpu_throttled_seconds_total", _C, _PLUGIN, "Time for which the CPU quota held the plugin back."),
    ("plugin_cpu_throttled_periods_total", _C, _PLUGIN, "Scheduler periods in which the CPU quota held the plugin back."),
    ("plugin_cpu_periods_total", _C, _PLUGIN, "Scheduler periods in which the plugin wanted CPU."),
    ("plugin_pids", _G, _PLUGIN, "Processes and threads."),
    ("plugin_pids_limit", _G, _PLUGIN, "Processes and threads that there may be."),
    ("plugin_disk_bytes", _G, _PLUGIN, "Bytes in use on /data."),
    ("plugin_disk_limit_bytes", _G, _PLUGIN, "Size of /data (max_disk_mb)."),
    ("plugin_network_window_bytes", _G, _PLUGIN, "Bytes through brokers and network within the policy's window."),
    ("plugin_network_limit_bytes", _G, _PLUGIN, "Bytes that may pass within the window (max_network_mb)."),
    ("plugin_egress_bytes_total", _C, ("plugin", "host_class", "direction"), "Bytes that left and came; host_class is public, private or database through brokers, network through the plugin's own; plugin (code) is code that was handed in."),
    # -- state ----------------------------------------------------------------------------------
    ("plugin_info", _I, ("plugin", "version", "category", "runtime"), "What is deployed."),
    ("plugin_status", _G, ("plugin", "status"), "1 for the state that the plugin is in: active, inactive, error."),
    ("plugin_sub_state", _G, ("plugin", "sub_state"), "1 for the sub-state that the plugin is in; others are absent."),
    ("plugin_up", _G, _PLUGIN, "Whether the plugin takes calls; one that sleeps does, as a call wakes it up."),
    ("plugin_wanted", _G, _PLUGIN, "Whether the plugin is to run."),
    ("plugin_started_at_seconds", _G, _PLUGIN, "When the oldest of its running containers was started, as epoch seconds."),
    ("plugin_restarts_total", _C, _PLUGIN, "Restarts after unwanted ends."),
    ("plugin_gave_up", _G, _PLUGIN, "Whether the plugin failed too often and is not started again."),
    ("plugin_oom_kills_total", _C, _PLUGIN, "Processes that the kernel killed for memory."),
    ("plugin_dependency_up", _G, ("plugin", "dependency"), "Whether a plugin that this one needs takes calls."),
    ("plugin_version_compatible", _G, _PLUGIN, "Whether this orchestrator is within the plugin's min and max core version."),
    ("plugin_replicas", _G, _PLUGIN, "Containers that take calls."),
    ("plugin_replicas_wanted", _G, _PLUGIN, "Containers that are to take calls."),
    # -- security -------------------------------------------------------------------------------
    ("security_refusals_total", _C, ("plugin", "rule"), "What brokers and policy refused, by rule: the error's code, or packet_refused for packets that a packet filter dropped; plugin is empty where the refusal was of no single one. Commands that could not be carried out for other reasons, such as a name that is mistyped, do not count."),
    ("security_alerts_total", _C, ("plugin", "alert"), "Things that a person should see: quota_exceeded, drifted, stuck, vanished, gave_up, out_of_memory, rolled_back, state_rebuilt."),
    ("plugin_security_rating", _G, _PLUGIN, "Security rating, 1 (worst) to 8 (best)."),
    ("permission_overrides", _G, ("state",), "Permissions that were granted or revoked by command."),
    ("updates_held", _G, (), "Updates that wait for a grant."),
    ("audit_records_total", _C, (), "Records in the audit log."),
    ("audit_bytes", _G, (), "Bytes of the audit log on disk; what was archived does not count."),
    ("audit_chain_intact", _G, (), "Whether the audit chain verified when it was last looked at, which is every hour."),
    # -- events ---------------------------------------------------------------------------------
    ("events_published_total", _C, ("publisher", "plugin"), "Events that were accepted; publisher is plugin, orchestrator or operator, and plugin is empty for the latter two."),
    ("events_delivered_total", _C, _PLUGIN, "Events that the plugin, a subscriber, answered with 2xx."),
    ("events_failed_tries_total", _C, _PLUGIN, "Tries to deliver to the plugin that failed."),
    ("events_dead", _G, _PLUGIN, "Dead letters of the plugin that are kept."),
    ("events_pending", _G, _PLUGIN, "Events that wait for the plugin."),
    # -- delivery -------------------------------------------------------------------------------
    ("reconcile_duration_seconds", _H, (), "Time of one pass of the reconcile loop."),
    ("reconcile_drift_total", _C, ("plugin", "field"), "Changes from outside that were found on running containers."),
    ("reconcile_drift_unhealed", _G, _PLUGIN, "Whether drift was found that is not set back yet."),
    ("rollouts_total", _C, ("plugin", "outcome"), "Rollouts by outcome: started, completed, failed, rolled_back; paused and resumed by an operator."),
    ("image_builds_total", _C, ("outcome",), "Images that were built or imported, of plugins, the base and our own, by outcome: ok, or the error's code."),
    ("image_build_duration_seconds", _H, (), "Time of image builds."),
    ("gitops_state", _G, ("state",), "1 for the state of the sync with git; absent without git."),
    ("gitops_last_success_seconds", _G, (), "When all was last seen to be as git says (or somebody suspended the sync), as epoch seconds."),
    ("gitops_syncs_total", _C, (), "Revisions of git that were taken up."),
    ("gitops_heals_total", _C, (), "Changes by hand that were set back to what git says."),
    ("gitops_failures_total", _C, (), "Syncs with git that failed."),
    # -- code sandbox ---------------------------------------------------------------------------
    ("code_runs_total", _C, ("reason",), "Runs of handed-in code by how they ended: ok, the run's reason, or the code of the error that refused it."),
    ("code_run_duration_seconds", _H, (), "Time of runs, waiting for a sandbox included."),
    ("code_pool_waiting", _G, (), "Sandboxes that are started and wait."),
    ("code_pool_starting", _G, (), "Sandboxes that are being started."),
    ("code_pool_size", _G, (), "Sandboxes that should wait (policy.code.pool_size)."),
    # -- the daemon -----------------------------------------------------------------------------
    ("build_info", _I, ("version", "python"), "The daemon's own version."),
    ("logs_page_info", _I, ("address",), "Where a browser of this machine finds the plugins' logs, at /plugins/ID/logs; nothing while nobody listens there."),
    ("daemon_started_at_seconds", _G, (), "When the daemon started, as epoch seconds."),
    ("daemon_memory_bytes", _G, (), "Resident memory of the daemon."),
    ("daemon_cpu_seconds_total", _C, (), "CPU time of the daemon."),
    ("daemon_open_fds", _G, (), "File descriptors that the daemon holds."),
    ("daemon_loop_lag_seconds", _G, (), "By how much the event loop was last late."),
    ("daemon_task_failures_total", _C, ("task",), "Own tasks that failed and were begun anew."),
    ("engine_up", _G, (), "Whether the container engine answers."),
    ("host_memory_promised_bytes", _G, (), "Sum of the memory limits of all plugins that are to run, and of the code sandboxes that wait."),
    ("host_memory_admitted_bytes", _G, (), "What may be promised (host memory times policy.memory_overcommit)."),
    ("scrape_duration_seconds", _G, (), "Time that the last answer of /metrics took to make."),
)  # fmt: skip

_SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plugin_call_duration_seconds": "Calls",
        "plugin_memory_bytes": "Resources",
        "plugin_info": "State",
        "security_refusals_total": "Security",
        "events_published_total": "Events",
        "reconcile_duration_seconds": "Delivery",
        "code_runs_total": "Code sandbox",
        "build_info": "The daemon",
    }
)
"""By the first of each."""


def as_markdown() -> str:
    """The table as docs/metrics.md shows it."""
    lines: list[str] = []
    for name, kind, labels, text in _ROWS:
        if name in _SECTIONS:
            head = ["", f"### {_SECTIONS[name]}", "", "| metric | type | labels | tells |"]
            lines += [*head, "|---|---|---|---|"]
        shown = ", ".join(f"`{label}`" for label in labels) or "-"
        lines.append(f"| `{PREFIX}{name}` | {kind} | {shown} | {text} |")
    return "\n".join(lines[1:]) + "\n"


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        PREFIX + name: Metric(name=PREFIX + name, kind=kind, labels=labels, help=text)
        for name, kind, labels, text in _ROWS
    }
)
