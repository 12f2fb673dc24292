"""The schemas for editors say what the loader says."""

from pathlib import Path

import jsonschema_rs
import pytest
from pydantic import JsonValue

from orchestrator.model.editor_schemas import editor_schemas
from orchestrator.model.load import load_instance_config, load_manifest, parse_plugin_info
from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import InvalidFile

MANIFEST = """\
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: echo}
spec:
  source: {build: ../echo}
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
GOOD = [
    ("manifest", MANIFEST),
    ("manifest", MANIFEST + "  permissions: [system_info, network_access: ]\n"),
    ("manifest", MANIFEST + '  permissions:\n  - external_api: {hosts: ["a.b:1"]}\n'),
    ("manifest", MANIFEST + "  limits: {max_memory_mb: 64}\n  state: stopped\n  config: {a: [1]}"),
    ("manifest", MANIFEST + "  secrets: {token: {file: t}}\n"),
    ("plugin", INFO),
    (
        "plugin",
        INFO + "permissions:\n- system_info: {required: true, reason: why}\n- user_interface",
    ),
    ("plugin", INFO + "tools: [{name: say, description: x, read_only: true}]\ndeprecated: no more"),
    ("plugin", INFO + "config_schema: {type: object, properties: {a: {default: 1}}}"),
    ("orchestrator", "policy: {shares: {docs: {path: docs}}, permissions: [system_info]}"),
    ("orchestrator", "policy: {ceilings: {max_memory_mb: 512}}"),
    ("orchestrator", 'policy: {databases: {main: {kind: redis, address: "cache:6379"}}}'),
]
BAD = [
    ("manifest", MANIFEST.replace("v1", "v2")),
    ("manifest", MANIFEST.replace("build: ../echo", "")),
    ("manifest", MANIFEST.replace("build: ../echo", "build: x, image: y")),
    ("manifest", MANIFEST + "  more: 1\n"),
    ("manifest", MANIFEST + "  permissions: [root]\n"),
    ("manifest", MANIFEST + "  permissions: [{}]\n"),
    ("manifest", MANIFEST + "  permissions: [{system_info: , user_interface: }]\n"),
    ("manifest", MANIFEST + "  permissions:\n  - external_api: {hosts: [A]}\n"),
    ("manifest", MANIFEST + "  permissions:\n  - external_api: {host: []}\n"),
    ("manifest", MANIFEST + "  permissions:\n  - system_info: {required: true}\n"),
    ("manifest", MANIFEST + "  secrets: {Token: {file: t}}\n"),
    ("manifest", MANIFEST + "  limits: {max_memory_mb: 1}\n"),
    ("plugin", INFO.replace("communication", "talk")),
    ("plugin", INFO + "licence: MIT"),
    ("plugin", INFO + "tools: [{name: Say, description: x}]"),
    ("orchestrator", "policy: {shares: {Docs: {path: docs}}}"),
    ("orchestrator", "plugins: []"),
]


def fits(name: str, text: str) -> bool:
    validator = jsonschema_rs.Draft202012Validator(editor_schemas()[name])
    return validator.is_valid(parse_tree(text.encode(), "x.yaml").data)


def load(name: str, text: str, folder: Path) -> None:
    path = folder / "x.yaml"
    path.write_text(text, encoding="utf-8")
    match name:
        case "manifest":
            load_manifest(path)
        case "plugin":
            parse_plugin_info(text.encode(), "x.yaml")
        case _:
            load_instance_config(path)


@pytest.mark.parametrize(("name", "text"), GOOD)
def test_what_the_loader_takes_the_editor_takes(name: str, text: str, tmp_path: Path) -> None:
    load(name, text, tmp_path)

    assert fits(name, text)


@pytest.mark.parametrize(("name", "text"), BAD)
def test_what_the_loader_refuses_the_editor_underlines(
    name: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidFile):
        load(name, text, tmp_path)

    assert not fits(name, text)


def test_texts_below_attributes_become_descriptions() -> None:
    schemas = editor_schemas()
    permissions = schemas["manifest"]["$defs"]

    assert schemas["plugin"]["properties"]["entry_point"]["description"] == (
        "`module:Class` for the Python SDK; for other languages the command."
    )
    assert permissions["LimitsOverride"]["description"].startswith("Limits the operator sets")
    assert "reason" in schemas["plugin"]["$defs"]["SystemInfo"]["properties"]
    assert permissions["SystemInfo"]["properties"] == {}


def test_the_models_inner_form_of_a_permission_is_not_shown() -> None:
    def discriminators(node: JsonValue) -> int:
        match node:
            case dict():
                return ("discriminator" in node) + sum(map(discriminators, node.values()))
            case list():
                return sum(map(discriminators, node))
            case _:
                return 0

    assert [discriminators(schema) for schema in editor_schemas().values()] == [0, 0, 0]
    assert "'kind'" not in str(editor_schemas()["plugin"])
