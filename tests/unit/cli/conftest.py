"""A user's shell: an environment of its own, commands in this process, a daemon that is fake."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from tests.unit.cli.fake_daemon import FakeDaemon, serve


@dataclass(frozen=True)
class Shown:
    """What a command left behind."""

    code: int
    out: str
    err: str


Shell = Callable[..., Shown]


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """`shell("ps", "--json")` in an empty folder, with no variable of ours but the home's."""
    for name in list(os.environ):
        if name.startswith("ORCHESTRATOR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> Shown:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Shown(code=code, out=captured.out, err=captured.err)

    return run_command


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(home=tmp_path / "home")
    server = serve(fake)
    yield fake
    server.shutdown()
    server.server_close()
