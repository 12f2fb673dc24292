"""`validate` and `schema`: commands on files, which need neither a daemon nor an engine."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.unit.cli.conftest import Shell

ROOT = Path(__file__).parents[3]
MANIFEST: dict[str, Any] = {
    "apiVersion": "orchestrator/v1",
    "kind": "Plugin",
    "metadata": {"name": "notes"},
    "spec": {"source": {"build": "notes"}},
}


def _write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data))
    return path


def test_what_is_right_is_ticked_off_file_by_file(shell: Shell) -> None:
    shown = shell(
        "validate",
        str(ROOT / "manifests"),
        str(ROOT / "plugin_images" / "secret-scanner"),
        str(ROOT / "plugin_images" / "data-pipeline" / "plugin.yaml"),
        str(ROOT / "orchestrator.yaml"),
    )

    assert (shown.code, shown.err) == (0, "")
    assert [line.rpartition(": ")[2] for line in shown.out.splitlines()] == [
        "plugin secret-scanner 1.0.0",
        "plugin data-pipeline 1.0.0",
        "policy",
        "manifest of data-pipeline",
        "manifest of knowledge-search",
        "manifest of secret-scanner",
    ]


def test_every_problem_of_every_file_comes_with_its_line(shell: Shell, tmp_path: Path) -> None:
    _write(tmp_path / "m" / "a.yaml", {**MANIFEST, "kind": "Plugni"})
    _write(tmp_path / "m" / "b.yaml", {**MANIFEST, "spec": {"source": {}}})
    _write(tmp_path / "p" / "plugin.yaml", {"plugin_id": "P"})
    _write(tmp_path / "orchestrator.yaml", {"policy": {"shares": []}})

    shown = shell("validate", "m", "p", "orchestrator.yaml")
    assert (shown.code, shown.out) == (65, "")
    places = re.findall(r"([\w.]+\.yaml:\d+): ", shown.err)
    assert {"a.yaml:2", "b.yaml:6", "plugin.yaml:1", "orchestrator.yaml:2"} <= set(places)


def test_what_is_right_beside_what_is_wrong_is_still_ticked_off(
    shell: Shell, tmp_path: Path
) -> None:
    good = _write(tmp_path / "good.yaml", MANIFEST)
    _write(tmp_path / "orchestrator.yaml", {"polisy": {}})

    shown = shell("validate", "orchestrator.yaml", str(good))
    assert shown.code == 65
    assert shown.out == f"✔ {good}: manifest of notes\n"
    assert "did you mean policy?" in shown.err


def test_two_manifests_of_one_plugin_are_refused(shell: Shell, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(tmp_path / f"{name}.yaml", MANIFEST)

    shown = shell("validate", "a.yaml", "b.yaml")
    assert shown.code == 65
    assert "notes again (a.yaml has it)" in shown.err


def test_validate_wants_to_be_told_what(shell: Shell) -> None:
    assert shell("validate").code == 64


@pytest.mark.parametrize("name", ["manifest", "plugin", "orchestrator"])
def test_a_schema_that_is_named_is_the_one_among_all(shell: Shell, name: str) -> None:
    one, every = shell("schema", name), shell("schema")

    assert (one.code, every.code) == (0, 0)
    assert json.loads(one.out) == json.loads(every.out)[name]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("manifest", sorted((ROOT / "manifests").glob("*.yaml"))),
        ("plugin", sorted((ROOT / "plugin_images").glob("*/plugin.yaml"))),
        ("orchestrator", [ROOT / "orchestrator.yaml"]),
    ],
)
def test_the_shipped_files_fit_the_schema_that_is_printed(
    shell: Shell, name: str, files: list[Path]
) -> None:
    schema = json.loads(shell("schema", name).out)

    assert files
    for path in files:
        jsonschema_rs.validate(schema, yaml.safe_load(path.read_text()))


def test_an_unknown_schema_is_told_with_those_that_there_are(shell: Shell) -> None:
    shown = shell("schema", "manifesto")

    assert shown.code == 64
    assert "found 'manifesto', expected one of manifest, plugin, orchestrator" in shown.err
