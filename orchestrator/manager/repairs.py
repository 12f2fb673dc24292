"""What an operator may do about a failure: from its reason and its last lines to words. Pure.

A guess is marked as one: the last lines are a plugin's own and may say anything.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.model.limits import ResourceLimits

_EXCEPTION = re.compile(r"[\w.]*(?:Error|Exception|Exit|Interrupt|Warning)\b(?::.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A plugin's last failure, and what bears on it."""

    plugin_id: str
    reason: str
    lines: Sequence[str]
    """The last ones of its log."""
    manifest: str
    """Its manifest's file."""
    limits: ResourceLimits
    ceilings: ResourceLimits
    """Policy's."""
    start_deadline_seconds: float
    memory_room_mb: int | None = None
    """What `plan` would admit for it, by the host's memory; None if nobody asked."""
    gone_back_from: bool = False
    """Whether its container, and the whole log with it, goes at once."""


def repairs(failure: Failure) -> tuple[str, ...]:
    """What the reason alone tells; the likeliest first."""
    code = re.fullmatch(r"exit_code_(\d+)", failure.reason)
    if code:
        found = _BY_EXIT_CODE.get(int(code[1]))
        return (*([found] if found else []), _logs(failure))
    if not failure.reason:  # it ran, and was not well
        return (_logs(failure),)
    say = _BY_REASON.get(failure.reason)
    return tuple(say(failure)) if say is not None else (f"{failure.reason}: see docs/errors.md",)


def hints(failure: Failure) -> tuple[str, ...]:
    """What its last lines point to; none after a kill for memory, which they know nothing of."""
    if failure.reason == "oom_killed":
        return ()
    raised = next((line for line in reversed(failure.lines) if _EXCEPTION.match(line)), "")
    guess = next(
        (
            words.format(*found.groups())
            for line in reversed(failure.lines)
            for pattern, words in _HINTS
            if (found := pattern.search(line))
        ),
        "",
    )
    told = (("it says", raised), ("perhaps", guess))
    return tuple(f"{name}: {text}" for name, text in told if text)


def _logs(failure: Failure) -> str:
    if failure.gone_back_from:
        return f"read its last lines: `orchestrator rollout history {failure.plugin_id}`"
    return f"read all that it wrote: `orchestrator logs {failure.plugin_id}`"


def _more_memory(failure: Failure) -> list[str]:
    now, most = failure.limits.max_memory_mb, failure.ceilings.max_memory_mb
    bound = "policy.ceilings.max_memory_mb"
    if failure.memory_room_mb is not None and failure.memory_room_mb < most:
        most, bound = failure.memory_room_mb, "the host's memory beside the other plugins"
    if most <= now:
        return [
            f"its limit of {now} MiB is all that {bound} leaves: raise that, or make room",
            "let the plugin use less memory",
        ]
    return [
        (
            f"raise spec.limits.max_memory_mb in {failure.manifest} from {now} to "
            f"{min(2 * now, most)}, say; `plan` admits up to {most} ({bound})"
        ),
        "let the plugin use less memory: what lies in /tmp counts, too",
    ]


def _more_time(failure: Failure) -> list[str]:
    return [
        "let it dial in before its slow work: what takes long belongs behind `initialize`",
        (
            "raise policy.lifecycle.start_deadline_seconds from "
            f"{failure.start_deadline_seconds:g}, or spec.limits.max_cpu_percent from "
            f"{failure.limits.max_cpu_percent}"
        ),
        _logs(failure),
    ]


def _stuck(failure: Failure) -> list[str]:
    limits = failure.limits
    return [
        "let it end its work when its deadline passes, and answer `status` beside it",
        (
            f"raise spec.limits.max_execution_time_sec from {limits.max_execution_time_sec} "
            f"or max_cpu_percent from {limits.max_cpu_percent}"
        ),
        _logs(failure),
    ]


def _refused(failure: Failure) -> list[str]:
    return [f"mend spec.config in {failure.manifest}: the plugin says what it misses"]


def _says(*words: str) -> Callable[[Failure], list[str]]:
    def say(failure: Failure) -> list[str]:
        return [text.format(logs=_logs(failure), manifest=failure.manifest) for text in words]

    return say


_BY_EXIT_CODE: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "let it go on until it is told to stop: a plugin that ends counts as failed",
        126: "let its entry_point name a program that can be executed on this processor",
        127: "let its entry_point name a program that is in the image",
        134: "it ended itself (signal 6): see what it checked",
        137: "somebody killed it (signal 9); for memory it would say oom_killed",
        139: "it read memory that is not its own (signal 11): a fault of the program",
        143: "somebody stopped it (signal 15); `spec.state: stopped` does so for good",
    }
)
_BY_REASON: Final[Mapping[str, Callable[[Failure], list[str]]]] = MappingProxyType(
    {
        "oom_killed": _more_memory,
        "start_deadline": _more_time,
        "stuck": _stuck,
        "initialize_refused": _refused,
        "initialize_failed": _says(
            "let its `initialize` give an answer: it ended or broke off before",
            "{logs}",
        ),
        "died_at_start": _says("{logs}"),
        "container_removed": _says(
            "leave its container alone; `spec.state: stopped` in {manifest} stops it"
        ),
        "stopped_from_outside": _says(
            "leave its container alone; `spec.state: stopped` in {manifest} stops it"
        ),
        "container_start_refused": _says(
            "let its entry_point name a program that is in the image and can be executed"
        ),
        "secret_unreadable": _says("put the file of spec.secrets there that {manifest} names"),
        "build_failed": _says("mend its Dockerfile: the last lines of the build are above"),
        "dependencies_failed": _says(
            "mend its requirements.lock, or reach the package index that pip is set to"
        ),
        "image_not_found": _says("load its image into the engine, or mend spec.source.image"),
        "base_image_failed": _says("make or load the base image: docs/operations.md says how"),
        "disk_full": _says("make room on the disks of the engine and of the state folder"),
        "host_failure": _says("make room in the state folder, or give it its rights back"),
        "share_unusable": _says("put the folder of policy.shares there"),
        "network_guard_failed": _says("let the kernel have nf_tables: `orchestrator doctor`"),
        "subnets_exhausted": _says("stop another plugin with network_access"),
        "engine_failure": _says("read the engine's own words above, and its log"),
    }
)


# -- what the last lines hint at ----------------------------------------------------------------


_HINTS: Final[Sequence[tuple[re.Pattern[str], str]]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"ModuleNotFoundError: No module named '([\w.]+)'",
            "add {0} to its requirements.lock, or mend its entry_point",
        ),
        (
            r"[Ee]xec format error",
            "build its program for this processor: the image holds another's",
        ),
        (
            r"Read-only file system",
            "let it write to /tmp, or to /data with the permission file_system_write",
        ),
        (
            r"No space left on device",
            "raise spec.limits.max_disk_mb, or let it write less to /tmp",
        ),
        (
            r"Network is unreachable|Temporary failure in name resolution",
            "grant external_api with the host that it needs: it has no network",
        ),
        (
            r"MemoryError|Cannot allocate memory",
            "raise spec.limits.max_memory_mb",
        ),
        (
            r"can't start new thread|Resource temporarily unavailable",
            "raise policy.container.pids_limit, or let it start fewer threads",
        ),
        (
            r"Too many open files",
            "raise policy.container.open_files, or let it close what it opens",
        ),
        (
            r"/run/secrets/([\w.-]+)",
            "give it the secret {0} in spec.secrets",
        ),
    )
)
