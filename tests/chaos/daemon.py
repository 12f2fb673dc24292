"""A daemon that kills itself at a boundary: the product's own, its backends wrapped.

    python -m tests.chaos.daemon ARM [--instance NAME]

It starts a daemon for each line on its standard input and prints the daemon's process id; each is
a fork, so that it is up in a fraction of the time that Python needs to import it. ARM is a file:
while it holds `before 7` (or `after 7`), the seventh boundary since the file was written kills.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.daemon import run
from orchestrator.daemon.__main__ import main as daemon_main
from orchestrator.daemon.build import Backends
from orchestrator.daemon.settings import DaemonSettings
from tests.chaos.boundaries import Boundaries, Wrapped


class RealBoundaries(Boundaries):
    """Those of a process, which is killed at the one that the file names."""

    def __init__(self, arm: Path) -> None:
        super().__init__()
        self._arm_file = arm
        self._seen = 0

    def _comes_to(self, words: str) -> bool:
        try:
            written = self._arm_file.stat().st_mtime_ns
            when, _, at = self._arm_file.read_text().partition(" ")
        except FileNotFoundError:
            return False
        if written != self._seen:
            self._seen = written
            self.arm(int(at), before=when == "before")
        return super()._comes_to(words)

    async def _stop(self) -> None:
        self._die()

    def _die(self) -> None:
        with self._arm_file.with_suffix(".said").open("a") as file:
            file.write(f"{self.passed[-1]}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def _child(boundaries: Boundaries, arguments: list[str], log: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, source in ((0, null), (1, file), (2, file)):
        os.dup2(source, number)
    real = run.docker_backends

    @asynccontextmanager
    async def wrapped(settings: DaemonSettings) -> AsyncIterator[Backends]:
        async with real(settings) as backends:
            yield replace(
                backends,
                engine=Wrapped(backends.engine, boundaries),
                images=Wrapped(backends.images, boundaries),
                volumes=Wrapped(backends.volumes, boundaries),
                networks=Wrapped(backends.networks, boundaries),
                pausing=Wrapped(backends.pausing, boundaries),
                repairs=Wrapped(backends.repairs, boundaries),
            )

    with pytest.MonkeyPatch.context() as patch:
        boundaries.watch_store(patch)
        patch.setattr(run, "docker_backends", wrapped)
        os._exit(daemon_main(arguments))


def main(arm: Path, arguments: list[str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(RealBoundaries(arm), arguments, arm.with_suffix(".log"))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
