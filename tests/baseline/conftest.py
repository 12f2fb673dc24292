"""Two orchestrators with real probes in real containers, one set of them for the whole folder.

`bare` has the default policy and a probe without any permission: the baseline. `limited` has a
policy of small numbers and one probe for each kind of load, so that none disturbs another's proof.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.arena import DISK_MB, LOG_MB, OPEN_FILES, PIDS, TMP_MB, lay_out_shares
from tests.support.instance import Instance, new_name
from tests.support.probe import Probe, probe_builder

SLOW_PERCENT, QUEUE, RESPONSE_MB = 20, 3, 1


@pytest.fixture(scope="session")
def probe_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The probe's folder, to be built under any plugin id: what differs is one line of metadata."""
    return probe_builder(tmp_path_factory.mktemp("probes"))


@pytest.fixture(scope="package")
def bare(
    tmp_path_factory: pytest.TempPathFactory, probe_folder: Callable[[str], Path]
) -> Iterator[Probe]:
    """A probe that was granted nothing, under the default policy."""
    instance = Instance(tmp_path_factory.mktemp("bare"), new_name())
    instance.variables["SET_ON_THE_HOST"] = "for the daemon alone"
    instance.manifest("probe", build=probe_folder("probe"), limits={"max_cpu_percent": 100})
    with _up(instance):
        yield Probe(instance, "probe")


@pytest.fixture(scope="session")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out_shares(tmp_path_factory.mktemp("shares"))


@pytest.fixture(scope="package")
def limited(
    tmp_path_factory: pytest.TempPathFactory,
    probe_folder: Callable[[str], Path],
    shares: Path,
) -> Iterator[Callable[[str], Probe]]:
    """Probes by name: `busy`, `keeper`, `slow`, `stuck`, `watcher` and `neighbour`."""
    instance = Instance(tmp_path_factory.mktemp("limited"), new_name())
    instance.policy(
        calls={"max_queue": QUEUE, "max_response_mb": RESPONSE_MB},
        container={
            "pids_limit": PIDS,
            "open_files": OPEN_FILES,
            "tmp_mb": TMP_MB,
            "log_mb": LOG_MB,
        },
        shares={
            "library": {"path": str(shares / "library")},
            "desk": {"path": str(shares / "desk"), "write": True},
        },
    )
    write = instance.manifest
    busy = {"max_cpu_percent": 100, "max_concurrent_requests": 2}
    write("busy", build=probe_folder("busy"), limits=busy)
    write(
        "keeper",
        build=probe_folder("keeper"),
        limits={"max_cpu_percent": 100, "max_disk_mb": DISK_MB},
        permissions=[
            {"file_system_read": {"shares": ["library"]}},
            {"file_system_write": {"shares": ["desk"]}},
        ],
    )
    write("slow", build=probe_folder("slow"), limits={"max_cpu_percent": SLOW_PERCENT})
    stuck = {"max_cpu_percent": 100, "max_execution_time_sec": 1, "max_concurrent_requests": 2}
    write("stuck", build=probe_folder("stuck"), limits=stuck)
    watcher = {"max_cpu_percent": 100}
    write("watcher", build=probe_folder("watcher"), limits=watcher, permissions=["system_info"])
    write("neighbour", build=probe_folder("neighbour"), limits={"max_cpu_percent": 100})
    with _up(instance):
        yield functools.cache(functools.partial(Probe, instance))


@pytest.fixture(scope="package")
def guests(
    tmp_path_factory: pytest.TempPathFactory,
    probe_folder: Callable[[str], Path],
    shares: Path,
) -> Iterator[Callable[[str], Probe]]:
    """Probes on gVisor: `guest` with shares, a disk and host.sock, and `bomber` beside it."""
    instance = Instance(tmp_path_factory.mktemp("guests"), new_name())
    instance.policy(
        runtime="runsc",
        container={"open_files": OPEN_FILES, "tmp_mb": TMP_MB},
        shares={
            "library": {"path": str(shares / "library")},
            "desk": {"path": str(shares / "desk"), "write": True},
        },
    )
    instance.manifest(
        "guest",
        build=probe_folder("guest"),
        limits={"max_cpu_percent": 100, "max_disk_mb": DISK_MB},
        permissions=[
            {"file_system_read": {"shares": ["library"]}},
            {"file_system_write": {"shares": ["desk"]}},
            "plugin_communication",
        ],
    )
    instance.manifest(
        "bomber", build=probe_folder("bomber"), limits={"max_cpu_percent": 60}, runtime="runsc"
    )
    with _up(instance):
        yield functools.cache(functools.partial(Probe, instance))


@contextlib.contextmanager
def _up(instance: Instance) -> Iterator[None]:
    """Brought up, and taken down whatever happens; nothing may be left."""
    try:
        instance.up()
        yield
    finally:
        instance.destroy()
    assert instance.left_over() == []
