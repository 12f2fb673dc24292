"""`render` and the other commands on files, with an environment."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.model.load import load_manifest
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon

BASE: dict[str, Any] = {
    "apiVersion": "orchestrator/v1",
    "kind": "Plugin",
    "metadata": {"name": "notes"},
    "spec": {"source": {"build": "notes"}, "limits": {"max_memory_mb": 64}},
}
PATCH: dict[str, Any] = {
    **BASE,
    "spec": {
        "limits": {"max_memory_mb": 128},
        "permissions": [{"external_api": {"hosts": ["api.example.com:443"]}}],
    },
}


@pytest.fixture(autouse=True)
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    (folder / "environments" / "prod").mkdir(parents=True)
    (folder / "notes.yaml").write_text(yaml.safe_dump(BASE))
    (folder / "environments" / "prod" / "notes.yaml").write_text(yaml.safe_dump(PATCH))
    return folder


def test_what_is_shown_loads_again_to_the_same_manifest(shell: Shell, tmp_path: Path) -> None:
    shown = shell("render", "--environment", "prod")
    again = tmp_path / "again.yaml"
    again.write_text(shown.out)
    spec = load_manifest(again).manifest.spec

    assert (shown.code, shown.err) == (0, "")
    assert (spec.limits.max_memory_mb, spec.source.build) == (128, "notes")


def test_files_and_what_the_patch_widens_stand_in_comments(shell: Shell, manifests: Path) -> None:
    shown = shell("render", "-e", "prod", "manifests")

    assert shown.out.splitlines()[:4] == [
        f"# from {manifests / 'notes.yaml'}",
        f"# patched by {manifests / 'environments/prod/notes.yaml'}",
        (
            "# the patch widens: is granted the permission external_api, hosts api.example.com:443 "
            "(before: not granted, now: granted)"
        ),
        "# the patch widens: asks for a larger max_memory_mb (before: 64, now: 128)",
    ]


def test_several_manifests_are_documents(shell: Shell, manifests: Path) -> None:
    other = {**BASE, "metadata": {"name": "other"}}
    (manifests / "other.yaml").write_text(yaml.safe_dump(other))
    shown = shell("render")

    assert list(yaml.safe_load_all(shown.out)) == [BASE, other]


def test_a_files_name_writes_no_line_of_yaml(shell: Shell, manifests: Path) -> None:
    (manifests / "notes.yaml").rename(manifests / "a\nspec: {}\n.yaml")
    shown = shell("render")

    assert yaml.safe_load(shown.out) == BASE


def test_json_tells_for_each_value_which_file_says_it(shell: Shell, manifests: Path) -> None:
    [row] = json.loads(shell("render", "--json", "-e", "prod").out)
    patch = manifests / "environments/prod/notes.yaml"

    assert row["manifest"]["spec"]["limits"] == {"max_memory_mb": 128}
    assert row["lines"]["spec.limits.max_memory_mb"] == f"{patch}:7"
    assert row["lines"]["spec.source.build"] == f"{manifests / 'notes.yaml'}:9"
    assert (row["plugin_id"], row["patch"], len(row["widens"])) == ("notes", str(patch), 2)


def test_an_unknown_environment_is_refused_with_its_exit_code(shell: Shell) -> None:
    for words in (("render", "-e", "x"), ("validate", "-e", "x", "manifests"), ("up", "-e", "x")):
        shown = shell(*words)

        assert (shown.code, shown.out) == (66, "")
        assert "error [environment_unknown] environment: found 'x', expected one of" in shown.err


def test_the_variable_says_the_environment_where_no_option_does(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ENVIRONMENT", "prod")
    by_variable = shell("render").out
    monkeypatch.setenv("ORCHESTRATOR_ENVIRONMENT", "")

    assert "max_memory_mb: 128" in by_variable
    assert "max_memory_mb: 64" in shell("render").out


def test_validate_checks_the_patches_of_an_environment(shell: Shell, manifests: Path) -> None:
    patch = manifests / "environments" / "prod" / "notes.yaml"
    patch.write_text(yaml.safe_dump({**BASE, "spec": {"stat": "x"}}))
    shown = shell("validate", "-e", "prod", "manifests")

    assert shown.code == 65
    assert "environments/prod/notes.yaml:6: spec.stat: found an unknown field" in shown.err


def test_up_tells_the_daemon_the_environment(shell: Shell, daemon: FakeDaemon) -> None:
    shell("up", "--detach", "-e", "prod")

    assert [json.loads(body)["environment"] for body in bodies(daemon)] == ["prod"]


def bodies(daemon: FakeDaemon) -> list[bytes]:
    return [each.body for each in daemon.asked if each.path == "/v1/desired"]
