"""A host and a plugin for each test; the SDK is not installed here, hence the path."""

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

HERE = Path(__file__).resolve().parent

for path in (HERE, HERE.parent):
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))

from fake_host import FakeHost, PluginProcess, python_plugin  # noqa: E402 - found by that path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports of parallel runs travel as UTF-8; what a plugin raises and logs may be none."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: a unix socket's path may have 107 bytes.
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def host(folder: Path) -> Iterator[FakeHost]:
    with FakeHost(folder) as host:
        yield host


@pytest.fixture
def plugin(folder: Path, host: FakeHost) -> Iterator[PluginProcess]:
    with python_plugin(folder, sockets=folder) as plugin:
        yield plugin
