"""What the engine has, held against what plugins are to run on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.daemon.backends import Backends
from orchestrator.daemon.build import build
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import DiskFinding, EngineFailure, EngineInfo
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.memory_stores import MemoryImages, MemoryVolumes
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.errors import Kind
from orchestrator.manager.finding import Verdict
from orchestrator.manager.runtimes import RuntimeMissing, check_runtimes, gvisor
from orchestrator.model.runtime import Runtime


async def engine(*runtimes: str, arguments: tuple[str, ...] = ()) -> EngineInfo:
    info = await MemoryEngine(images=MemoryImages()).info()
    return replace(info, runtimes=runtimes, runsc_arguments=arguments)


async def test_a_plugin_on_gvisor_is_refused_by_an_engine_without_it(make: Any) -> None:
    wanted = [make.deployment(spec={"runtime": "runsc"})]
    with pytest.raises(RuntimeMissing) as caught:
        check_runtimes(wanted, await engine("io.containerd.runc.v2", "runc"))

    assert str(caught.value) == (
        "notes: spec.runtime or policy.runtime: found runsc, expected a runtime that the engine "
        "has (io.containerd.runc.v2, runc); install gVisor and register it, or run on runc"
    )
    assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "runtime_missing")


async def test_what_the_engine_has_is_taken_and_runc_is_whatever_it_runs_by_itself(
    make: Any,
) -> None:
    check_runtimes([make.deployment(spec={"runtime": "runsc"})], await engine("runc", "runsc"))
    check_runtimes([make.deployment()], await engine("crun"))


@pytest.mark.parametrize(
    ("runtimes", "arguments", "verdict", "found", "advice"),
    [
        (("runc",), (), Verdict.OK, "not installed (runtimes: runc)", ""),
        (
            ("runc", "runsc"),
            ("--platform=systrap", "--network=none", "--host-uds=open", "--oci-seccomp"),
            Verdict.OK,
            "runsc is there (runtimes: runc, runsc)",
            "",
        ),
        (
            ("runc", "runsc"),
            ("--network=none",),
            Verdict.WARNING,
            "runsc is there (runtimes: runc, runsc)",
            "register runsc with --host-uds=open --oci-seccomp as well",
        ),
    ],
)
async def test_doctor_says_which_runtimes_there_are_and_what_gvisor_lacks(
    runtimes: tuple[str, ...],
    arguments: tuple[str, ...],
    verdict: Verdict,
    found: str,
    advice: str,
) -> None:
    finding = gvisor(await engine(*runtimes, arguments=arguments))

    assert (finding.verdict, finding.found, finding.advice) == (verdict, found, advice)


class NoDisks:
    """Never asked: only `doctor` does."""

    async def best(self, labels: Mapping[str, str]) -> DiskFinding:
        raise EngineFailure(f"no disks for {labels}")


PLUGIN = """
plugin_id: notes
name: Notes
version: 1.0.0
author: Somebody
description: Keeps notes.
category: documentation
entry_point: ./notes
"""
MANIFEST = """
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: notes}
spec: {source: {image: notes}, runtime: RUNTIME}
"""


@pytest.mark.parametrize("runtime", list(Runtime))
async def test_up_refuses_what_the_engine_lacks_before_anything_is_wanted(
    tmp_path: Path, runtime: Runtime
) -> None:
    images = MemoryImages()
    images.add("notes", files={"/plugin/plugin.yaml": PLUGIN.encode()})
    twin = MemoryEngine(images=images)
    settings = DaemonSettings(home=tmp_path)
    backends = Backends(
        engine=twin,
        probe=twin,
        images=images,
        volumes=MemoryVolumes(),
        disks=NoDisks(),
        networks=MemoryNetworks(),
        shares=ShareMounts(settings.share_mounts, address=""),
    )
    settings.folder.mkdir()
    manifest = tmp_path / "notes.yaml"
    manifest.write_text(MANIFEST.replace("RUNTIME", runtime))
    async with build(settings, backends, clock=SystemClock(), shut_down=lambda: None) as daemon:
        refused = ""
        try:
            await daemon.manager.apply([manifest], None)
        except RuntimeMissing as error:
            refused = str(error)
        wanted = [*daemon.manager.fleet.deployments]

    assert (bool(refused), wanted) == (
        (True, []) if runtime is Runtime.RUNSC else (False, ["notes"])
    )
