"""Files as models: the exact words of every kind of problem, several at once, and the disk."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.errors import Kind
from orchestrator.model.info import PluginInfo
from orchestrator.model.load import (
    NotAPlugin,
    load_instance_config,
    load_manifest,
    load_manifests,
    load_plugin_info,
    parse_plugin_info,
)
from orchestrator.model.permissions import ExternalApi, NetworkAccess, SystemInfo
from orchestrator.model.problems import InvalidFile
from orchestrator.model.secret_source import files_of

MANIFEST = """\
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: NAME}
spec:
  source: {build: ../plugins/NAME}
"""
INFO = """\
plugin_id: echo
name: Echo
version: 1.2.3
author: Somebody
description: Says it again.
category: communication
entry_point: echo:Echo
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that messages hold short relative names."""
    monkeypatch.chdir(tmp_path)
    return Path()


def manifest(name: str = "echo", spec: str = "") -> str:
    return MANIFEST.replace("NAME", name) + spec


def test_permissions_are_read_in_all_three_forms(folder: Path) -> None:
    spec = dedent("""\
        permissions:
        - system_info
        - network_access:
        - external_api:
            hosts: ["api.example.com:443", "*.example.org:8443"]
    """)
    path = folder / "m.yaml"
    path.write_text(manifest(spec=spec.replace("\n", "\n  ").join(["  ", ""])), encoding="utf-8")

    assert load_manifest(path).manifest.spec.permissions == (
        SystemInfo(),
        NetworkAccess(),
        ExternalApi(hosts=("api.example.com:443", "*.example.org:8443")),
    )


def test_a_manifest_in_json_means_the_same(folder: Path) -> None:
    (folder / "m.yaml").write_text(manifest(), encoding="utf-8")
    as_yaml = load_manifest(folder / "m.yaml").manifest
    text = json.dumps(as_yaml.model_dump(mode="json", by_alias=True))
    (folder / "m.json").write_text(text, encoding="utf-8")

    assert load_manifest(folder / "m.json").manifest == as_yaml


def test_folders_give_their_own_manifests_by_name(folder: Path) -> None:
    (folder / "m" / "below").mkdir(parents=True)
    (folder / "m" / "directory.yaml").mkdir()
    for name in ("b.yaml", "a.yml", "c.json", ".hidden.yaml", "notes.txt", "below/d.yaml"):
        text = manifest(name[0]) if name[0] != "c" else _as_json(manifest("c"))
        (folder / "m" / name).write_text(text, encoding="utf-8")

    loaded = load_manifests([folder / "m" / "b.yaml", folder / "m"])
    assert [each.path.name for each in loaded] == ["b.yaml", "a.yml", "c.json"]


def _as_json(text: str) -> str:
    path = Path("as.yaml")
    path.write_text(text, encoding="utf-8")
    return load_manifest(path).manifest.model_dump_json(by_alias=True)


def test_the_problems_of_all_files_come_at_once(folder: Path) -> None:
    (folder / "a.yaml").write_text(manifest("a") + "  stat: x\n", encoding="utf-8")
    (folder / "b.yaml").write_text("a: [", encoding="utf-8")
    (folder / "c.yaml").write_text(manifest("c"), encoding="utf-8")
    (folder / "d.yaml").write_text("\n" + manifest("c"), encoding="utf-8")
    (folder / "e.txt").touch()
    with pytest.raises(InvalidFile) as caught:
        load_manifests([folder, folder / "gone.yaml", folder / "e.txt", folder / "gone"])

    assert str(caught.value).splitlines() == [
        (
            "a.yaml:6: spec.stat: found an unknown field, expected one of source, permissions, "
            "limits, config, secrets, inject, runtime, state, replicas, idle_timeout "
            "(did you mean state?)"
        ),
        (
            "b.yaml:1: found broken YAML: did not find expected node content, "
            "while parsing a flow node, expected YAML 1.2"
        ),
        "gone.yaml: found nothing there, expected a file",
        "e.txt: found another kind of file, expected one of .yaml, .yml, .json",
        "gone: found nothing there, expected a folder, or one of .yaml, .yml, .json",
        (
            "d.yaml:4: metadata.name: found c again (c.yaml has it), "
            "expected one manifest for each plugin"
        ),
    ]


def test_a_link_out_of_a_folder_is_refused_and_one_within_is_read(folder: Path) -> None:
    (folder / "m").mkdir()
    (folder / "secret.yaml").write_text("password: x", encoding="utf-8")
    (folder / "m" / "out.yaml").symlink_to("../secret.yaml")
    with pytest.raises(InvalidFile) as caught:
        load_manifests([folder / "m"])

    assert str(caught.value) == (
        "m/out.yaml: found a link that leads outside, expected a file of the folder"
    )
    (folder / "m" / "out.yaml").unlink()
    (folder / "m" / ".data").write_text(manifest(), encoding="utf-8")
    (folder / "m" / "in.yaml").symlink_to(".data")
    assert [each.path.name for each in load_manifests([folder / "m"])] == ["in.yaml"]


def test_a_named_pipe_does_not_hold_up_the_reader(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    with pytest.raises(InvalidFile, match=r"pipe\.yaml: found no plain file, expected a plain"):
        load_manifests([folder])


def test_paths_of_a_manifest_are_relative_to_its_folder(folder: Path) -> None:
    (folder / "m").mkdir()
    path = folder / "m" / "echo.yaml"
    path.write_text(manifest(spec="  secrets: {token: {file: t}}"), encoding="utf-8")
    loaded = load_manifest(path)

    assert loaded.build_folder() == Path.cwd() / "plugins" / "echo"
    assert files_of(loaded.manifest.spec.secrets, path) == {"token": str(Path.cwd() / "m" / "t")}
    path.write_text(manifest().replace("build: ../plugins/echo", "image: echo:1"), encoding="utf-8")
    assert load_manifest(path).build_folder() is None


def test_a_wrong_config_is_told_with_the_line_in_the_manifest(folder: Path) -> None:
    path = folder / "m.yaml"
    path.write_text(manifest(spec="  config:\n    size: x\n    more: 1\n"), encoding="utf-8")
    schema = (
        "config_schema: {additionalProperties: false, required: [url], "
        "properties: {size: {type: integer, minimum: 1}, url: {type: string}}}"
    )
    info = parse_plugin_info((INFO + schema).encode(), "p.yaml")
    with pytest.raises(InvalidFile) as caught:
        load_manifest(path).config(info)

    assert set(str(caught.value).splitlines()) == {
        "m.yaml:7: spec.config.size: found 'x', expected integer",
        "m.yaml:8: spec.config.more: found an unknown field, expected no such field",
        "m.yaml:6: spec.config.url: found nothing, expected a value",
    }


def test_shares_of_the_instance_become_absolute(folder: Path) -> None:
    (folder / "etc").mkdir()
    path = folder / "etc" / "orchestrator.yaml"
    path.write_text(
        "policy: {shares: {docs: {path: ../docs, write: true}, etc: {path: /etc}}}",
        encoding="utf-8",
    )
    shares = load_instance_config(path).policy.shares

    assert {name: share.path for name, share in shares.items()} == {
        "docs": str(Path.cwd() / "docs"),
        "etc": "/etc",
    }
    assert shares["docs"].write is True


def test_a_folder_without_metadata_is_no_plugin(folder: Path) -> None:
    with pytest.raises(NotAPlugin, match=r"expected plugin\.yaml or plugin\.json") as caught:
        load_plugin_info(folder / "none")

    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "not_a_plugin")


def test_metadata_is_read_from_yaml_or_json_but_not_from_both(folder: Path) -> None:
    (folder / "plugin.yaml").write_text(INFO, encoding="utf-8")
    info = load_plugin_info(folder)
    (folder / "plugin.json").write_text(info.model_dump_json(by_alias=True), encoding="utf-8")
    with pytest.raises(InvalidFile) as caught:
        load_plugin_info(folder)

    assert str(caught.value) == ".: found plugin.yaml and plugin.json, expected one of the two"
    (folder / "plugin.yaml").unlink()
    assert load_plugin_info(folder) == info


def test_metadata_that_is_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "p").mkdir()
    (folder / "elsewhere.yaml").write_text(INFO, encoding="utf-8")
    (folder / "p" / "plugin.yaml").symlink_to("../elsewhere.yaml")
    with pytest.raises(InvalidFile, match="found a link that leads outside"):
        load_plugin_info(folder / "p")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["orchestrator/v1", "Plugin", "system_info", "1.2.3", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *PluginInfo.model_fields,
                    "apiVersion",
                    "kind",
                    "metadata",
                    "spec",
                    "source",
                    "policy",
                    "shares",
                    "external_api",
                    "hosts",
                    "$ref",
                    "properties",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(value=JSON)
def test_any_json_is_a_model_or_an_invalid_file(value: JsonValue) -> None:
    data = json.dumps(value).encode()
    with contextlib.suppress(InvalidFile):
        assert parse_plugin_info(data, "p.json").plugin_id


@given(value=JSON, place=st.sampled_from(["spec", "permissions", "limits", "secrets", "config"]))
def test_any_json_within_a_manifest_is_a_model_or_an_invalid_file(
    value: JsonValue, place: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec: dict[str, JsonValue] = {"source": {"image": "x"}}
    spec[place] = value
    whole: dict[str, JsonValue] = {
        "apiVersion": "orchestrator/v1",
        "kind": "Plugin",
        "metadata": {"name": "a"},
        "spec": value if place == "spec" else spec,
    }
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    with contextlib.suppress(InvalidFile):
        assert load_manifest(path).manifest.metadata.name == "a"


def test_loading_imports_no_engine_and_no_server() -> None:
    code = "import sys, orchestrator.model.load; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"docker", "starlette", "uvicorn", "sqlite3", "click"} & set(done.stdout.split())
