"""Doctor: what this machine and its engine can hold, one named check each. Pure but for its facts.

Each finding is a state that a person can act on, not a log line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.engine.base import DiskFinding, DiskWay, EngineInfo
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.manager.runtimes import gvisor


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What the checks look at, gathered by the caller."""

    engine: EngineInfo
    home_free_bytes: int
    home_writable: bool
    disk: DiskFinding
    share_obstacle: str
    """Why writable shares cannot be mounted without programs; empty if they can."""
    base_image: str
    """The base image's tag, if the engine holds it."""
    guard_image: str
    """The network guard's, likewise."""


_DISK_ADVICE: Final[Mapping[DiskWay, tuple[str, ...]]] = MappingProxyType(
    {
        DiskWay.LOOP: (),
        DiskWay.QUOTA: ("/data persists, but the number of its files is not bounded",),
        DiskWay.TMPFS: ("/data is exact, but empty after each stop",),
    }
)
_SWAP_ADVICE: Final = (
    "a plugin above its memory limit may swap: turn swap off, or boot with swapaccount=1"
)
_LIMITS_ADVICE: Final = (
    "this engine drops these limits silently; use a rootful engine, "
    "or delegate all controllers of cgroup v2 to the rootless one"
)
MINIMUM_FREE_BYTES = 1 << 30


def diagnose(facts: MachineFacts) -> list[Finding]:
    """Every check's finding."""
    return [
        *_engine(facts.engine),
        *_holds(facts.engine),
        *_disk(facts),
        *_shares(facts),
        *_images(facts),
    ]


def _engine(engine: EngineInfo) -> Iterator[Finding]:
    yield Finding(
        check="engine",
        verdict=Verdict.OK,
        found=f"{engine.name} {engine.version} (API {engine.api_version}), "
        f"{engine.cores} cores, {engine.memory_bytes >> 20} MiB",
    )


def _holds(engine: EngineInfo) -> Iterator[Finding]:
    yield _limits(engine)
    seccomp = any("seccomp" in option for option in engine.security_options)
    yield Finding(
        check="seccomp",
        verdict=Verdict.OK if seccomp else Verdict.PROBLEM,
        found="on" if seccomp else "off",
        advice="" if seccomp else "the kernel or the engine was built without seccomp",
    )
    apparmor = any("apparmor" in option for option in engine.security_options)
    yield Finding(
        check="apparmor",
        verdict=Verdict.OK if apparmor else Verdict.WARNING,
        found="on" if apparmor else "off",
        advice="" if apparmor else "one layer less; capabilities, seccomp and masks hold anyway",
    )
    yield Finding(
        check="init",
        verdict=Verdict.OK if engine.has_init else Verdict.PROBLEM,
        found="docker-init is there" if engine.has_init else "no docker-init",
        advice="" if engine.has_init else "install tini (Debian: part of docker.io)",
    )
    yield gvisor(engine)
    if engine.rootless:
        yield Finding(
            check="rootless",
            verdict=Verdict.WARNING,
            found="the engine runs without root",
            advice="disks of exact size cannot be made: /data is a tmpfs",
        )


def _limits(engine: EngineInfo) -> Finding:
    found = f"cgroup v{engine.cgroup_version}, driver {engine.cgroup_driver}"
    verdict, advice = Verdict.OK, ""
    if engine.unheld:
        found += f"; not held: {', '.join(engine.unheld)}"
        verdict = Verdict.WARNING if engine.holds_limits else Verdict.PROBLEM
        advice = _SWAP_ADVICE if engine.holds_limits else _LIMITS_ADVICE
    return Finding(check="limits", verdict=verdict, found=found, advice=advice)


def _disk(facts: MachineFacts) -> Iterator[Finding]:
    yield Finding(
        check="disk limit",
        verdict=Verdict.OK if facts.disk.way is DiskWay.LOOP else Verdict.WARNING,
        found=f"enforced by: {facts.disk.way}, "
        + ("seen by overfilling one" if facts.disk.tried else "not yet tried: no base image"),
        advice="; ".join(
            [
                *(f"{way.split(' (')[0]}: {why}" for way, why in facts.disk.passed_over.items()),
                *_DISK_ADVICE[facts.disk.way],
            ]
        ),
    )
    enough = facts.home_writable and facts.home_free_bytes >= MINIMUM_FREE_BYTES
    yield Finding(
        check="state folder",
        verdict=Verdict.OK if enough else Verdict.PROBLEM,
        found=f"{facts.home_free_bytes >> 20} MiB free"
        if facts.home_writable
        else "cannot be written",
        advice="" if enough else "set ORCHESTRATOR_HOME to a folder with 1 GiB free",
    )


def _shares(facts: MachineFacts) -> Iterator[Finding]:
    held = not facts.share_obstacle
    yield Finding(
        check="shares",
        verdict=Verdict.OK if held else Verdict.WARNING,
        found="nothing in them can be executed"
        if held
        else f"programs in writable shares can be executed, as {facts.share_obstacle}",
        advice="" if held else "run the orchestrator as root beside the engine, or share read-only",
    )


def _images(facts: MachineFacts) -> Iterator[Finding]:
    yield Finding(
        check="base image",
        verdict=Verdict.OK,
        found=facts.base_image or "not there yet; `orchestrator up` makes it",
    )
    yield Finding(
        check="network guard",
        verdict=Verdict.OK,
        found=facts.guard_image or "no image yet; the first plugin with network_access has it made",
    )
