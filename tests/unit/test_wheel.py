"""The wheel has what the orchestrator reads at run time, where it looks for it."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from orchestrator.monitoring.runbooks import find_runbooks, index
from tests.unit.pages import ROOT, tracked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend itself and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_everything_that_is_to_travel_with_the_wheel_does(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    missing = [
        target
        for source, place in included.items()
        for file in tracked(source)
        if not (target := wheel / place / file.relative_to(ROOT / source)).is_file()
    ]

    assert missing == []


def test_the_runbooks_are_found_in_the_wheel_and_not_in_a_checkout(wheel: Path) -> None:
    found = find_runbooks(wheel / "orchestrator" / "monitoring")

    assert found.is_relative_to(wheel)
    assert index(found) == index(ROOT / "docs" / "runbooks")
    assert all((found / f"{alert}.md").is_file() for alert in index(found))
