# ruff: noqa: INP001, T201 - a script that prints
"""How long handed-in code waits: a warm code sandbox against `docker run --rm`, in one run.

    python benchmarks/code_sandbox.py [--runs 30]

Prints one line of milliseconds for each way, then their medians and the ratio. Needs a Docker
engine; makes containers of an instance of its own and removes them.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.clock import SystemClock
from orchestrator.engine.base import LABEL_INSTANCE
from orchestrator.engine.code_image import CodeImages
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.engine.pausing import DockerPausing
from orchestrator.model.audit import AuditEntry
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.compile import Site
from orchestrator.policy.seccomp import seccomp_profile
from orchestrator.sandbox.code import CodeSandbox, Ground
from orchestrator.sandbox.code_box import BoxMaker
from orchestrator.sandbox.deadlines import DeadlineWheel

CODE = "result = sum(context)"
IDLE_SECONDS = 1.5
"""Between two runs, so that the pool is full again and the machine quiet."""


class _Silence:
    def record(self, entry: AuditEntry) -> None: ...


@asynccontextmanager
async def code_sandbox(folder: Path) -> AsyncIterator[tuple[CodeSandbox, str]]:
    """A code sandbox on the real engine, and its image."""
    clients = DockerClients.connect()
    images = CodeImages(
        images=DockerImages(clients),
        cache=folder / "cache",
        policy=lambda: SecurityPolicy().build,
        base_lock=asyncio.Lock(),
    )
    name = f"bench-code-{os.getpid()}"
    site = Site(
        prefix=name,
        sockets_root=str(folder / "sockets"),
        secrets_root=str(folder / "secrets"),
        shares={},
        seccomp_profile=seccomp_profile(),
    )
    wheel = DeadlineWheel(asyncio.get_running_loop())
    sandbox = CodeSandbox(
        maker=BoxMaker(
            engine=DockerEngine(clients),
            pausing=DockerPausing(clients),
            volumes=MemoryVolumes(),
            labels={LABEL_INSTANCE: name},
            wheel=wheel,
        ),
        ground=Ground(
            policy=SecurityPolicy,
            site=lambda shares: site,
            languages=images.ensure,
        ),
        auditor=_Silence(),
        clock=SystemClock(),
    )
    async with asyncio.TaskGroup() as group:
        life = group.create_task(sandbox.run())
        await asyncio.sleep(0.2)
        try:
            yield sandbox, (await images.ensure("python"))[1]
        finally:
            life.cancel()
    wheel.close()
    await clients.aclose()


async def measure(runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds of warm runs, and of `docker run --rm`, one after the other in turns."""
    warm, cold = [], []
    with tempfile.TemporaryDirectory(prefix="bench-code-") as folder:
        async with code_sandbox(Path(folder)) as (sandbox, image):
            await sandbox.execute_plugin_code(CODE, [1, 2])
            for _ in range(runs):
                await asyncio.sleep(IDLE_SECONDS)
                started = time.perf_counter()
                answer = await sandbox.execute_plugin_code(CODE, [1, 2])
                warm.append((time.perf_counter() - started) * 1_000)
                if answer.result != 3:  # noqa: PLR2004 - 1 + 2
                    raise SystemExit(f"the sandbox answered {answer}")
                await asyncio.sleep(IDLE_SECONDS)
                cold.append(await asyncio.to_thread(docker_run, image))
    return warm, cold


def docker_run(image: str) -> float:
    """Milliseconds of the same code in a container made for it by hand."""
    command = ["docker", "run", "--rm", "--network", "none", image]
    started = time.perf_counter()
    subprocess.run(  # noqa: S603 - our own arguments
        [*command, "python3", "-c", "context = [1, 2]\n" + CODE + "\nprint(result)"],
        check=True,
        capture_output=True,
    )
    return (time.perf_counter() - started) * 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    warm, cold = asyncio.run(measure(parser.parse_args().runs))
    for name, row in (("warm", warm), ("docker-run", cold)):
        print(name, *(f"{milliseconds:.1f}" for milliseconds in row))
    p50 = statistics.median(warm), statistics.median(cold)
    print(f"p50 ms: warm {p50[0]:.1f}, docker run --rm {p50[1]:.1f}, ratio {p50[1] / p50[0]:.1f}")


if __name__ == "__main__":
    main()
