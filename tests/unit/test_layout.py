"""Rules of the whole tree that no linter knows."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import orchestrator
from orchestrator.errors import Kind, OrchestratorError
from tests.unit.pages import ROOT, tracked

MOST_LINES = 350
PLUGINS = sorted(path.parent for path in (ROOT / "plugin_images").glob("*/plugin.yaml"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator.")
    if not module.name.endswith("__main__")
)

# Runs in an interpreter of its own: what pytest and its plugins opened must not count.
_IMPORT_ALL = """
import importlib, json, logging, os, signal, sys, threading

def effects():
    return {
        "threads": threading.active_count(),
        "descriptors": sorted(os.readlink(f"/proc/self/fd/{fd}")
                              for fd in os.listdir("/proc/self/fd")
                              if os.path.exists(f"/proc/self/fd/{fd}")),
        "handlers": len(logging.getLogger().handlers),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }

effects()
before = effects()
for name in sys.argv[1:]:
    importlib.import_module(name)
after = effects()
print(json.dumps(sorted(name for name in before if before[name] != after[name])))
"""


def test_no_file_of_python_is_longer_than_a_reader_can_hold() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in tracked("*.py")
    }

    assert len(lines) > 100
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_every_module_says_what_it_holds() -> None:
    shipped = [
        path
        for path in tracked("orchestrator/*.py", "plugin_images/*.py")
        if "tests" not in path.parts
    ]

    silent = [path for path in shipped if not ast.get_docstring(ast.parse(path.read_text()))]
    assert len(shipped) > 100
    assert silent == []


def test_no_module_is_a_box_for_this_and_that() -> None:
    boxes = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}

    assert [
        path for path in tracked("*.py") if path.stem in boxes or path.parent.name in boxes
    ] == []


def test_no_file_holds_what_a_merge_left_in_conflict() -> None:
    left = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)

    assert [path for path in tracked() if left.search(path.read_bytes())] == []


# -- errors -----------------------------------------------------------------------------------


def _errors() -> list[type[OrchestratorError]]:
    for name in MODULES:
        importlib.import_module(name)

    def below(error: type[OrchestratorError]) -> list[type[OrchestratorError]]:
        return [leaf for each in error.__subclasses__() for leaf in (each, *below(each))]

    return [error for error in below(OrchestratorError) if error.__module__ in MODULES]


def test_every_error_has_a_code_of_its_own() -> None:
    errors = _errors()
    codes = Counter([OrchestratorError.code, *(error.code for error in errors)])

    assert len(errors) > 20
    assert [error for error in errors if "code" not in vars(error)] == []
    assert [code for code, count in codes.items() if count > 1] == []


def test_every_error_says_its_kind_itself() -> None:
    assert [error for error in _errors() if vars(error).get("kind") not in set(Kind)] == []


# -- imports ----------------------------------------------------------------------------------


def _effects_of_importing(folder: Path, *modules: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *modules],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    changed: list[str] = json.loads(done.stdout)
    return changed


def test_importing_the_whole_package_has_no_effect() -> None:
    assert _effects_of_importing(ROOT, *MODULES) == []


def test_an_effect_of_importing_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import os, socket, threading, time\n"
        "listener = socket.socket()\n"
        "threading.Thread(target=time.sleep, args=(0.2,)).start()\n"
        "os.environ['CHANGED'] = '1'\n"
    )

    assert _effects_of_importing(tmp_path, "busy") == ["descriptors", "environment", "threads"]


def _libraries_after(*arguments: str) -> set[str]:
    """The libraries that `orchestrator ARGUMENTS` has imported when it is done."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from orchestrator.cli.main import run\n"
        "run(sys.argv[1:])\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split()) - set(sys.stdlib_module_names)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_help_pays_for_no_heavy_library(arguments: list[str]) -> None:
    assert _libraries_after(*arguments) <= {"click", "orchestrator"}


def test_a_command_pays_for_what_it_needs() -> None:
    assert "pydantic" in _libraries_after("schema", "--help")


# -- plugins ----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_a_shipped_plugin_has_a_readme_and_tests(folder: Path) -> None:
    assert (folder / "README.md").read_text().startswith("# ")
    assert sorted((folder / "tests").glob("test_*.py"))


def test_there_are_plugins_to_look_at() -> None:
    assert {"data-pipeline", "knowledge-search", "secret-scanner"} <= {p.name for p in PLUGINS}
