"""What is said of wrong files: the exact words for every kind of problem."""

from pathlib import Path

import pytest

from orchestrator.errors import Kind
from orchestrator.model.info import PluginCategory
from orchestrator.model.load import load_manifest, parse_plugin_info
from orchestrator.model.problems import InvalidFile

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
PERMISSIONS = (
    "database_access, external_api, file_system_read, file_system_write, network_access, "
    "plugin_communication, system_info, user_interface"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that messages hold short relative names."""
    monkeypatch.chdir(tmp_path)
    return Path()


def manifest(name: str = "echo", spec: str = "") -> str:
    return MANIFEST.replace("NAME", name) + spec


def problems_of_manifest(spec: str) -> list[str]:
    path = Path("m.yaml")
    path.write_text(manifest(spec=spec), encoding="utf-8")
    with pytest.raises(InvalidFile) as caught:
        load_manifest(path)
    return str(caught.value).splitlines()


def problems_of_info(more: str, info: str = INFO) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        parse_plugin_info((info + more).encode(), "p.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "  limits: {max_memory_mb: 12x}",
            (
                "m.yaml:6: spec.limits.max_memory_mb: found '12x', "
                "expected a whole number of MiB, 8 to 1048576"
            ),
        ),
        (
            "  limits:\n    max_memory_mb: '64'",
            (
                "m.yaml:7: spec.limits.max_memory_mb: found '64', "
                "expected a whole number of MiB, 8 to 1048576"
            ),
        ),
        (
            "  limits: {max_cpu_percent: 1.5}",
            (
                "m.yaml:6: spec.limits.max_cpu_percent: found 1.5, "
                "expected a whole number of percent of one core, 1 to 100000"
            ),
        ),
        (
            "  limits: {max_execution_time_sec: 0}",
            (
                "m.yaml:6: spec.limits.max_execution_time_sec: found 0, "
                "expected a whole number of seconds, 1 to 86400"
            ),
        ),
        (
            "  limits: {max_concurrent_requests: 300}",
            (
                "m.yaml:6: spec.limits.max_concurrent_requests: found 300, "
                "expected a whole number, 1 to 256"
            ),
        ),
        (
            "  limit: {}",
            (
                "m.yaml:6: spec.limit: found an unknown field, expected one of source, "
                "permissions, limits, config, secrets, inject, runtime, state, "
                "replicas, idle_timeout "
                "(did you mean limits?)"
            ),
        ),
        ("  limits: []", "m.yaml:6: spec.limits: found an empty list, expected a mapping"),
        (
            "  permissions: [network_acess]",
            (
                f"m.yaml:6: spec.permissions[0]: found 'network_acess', "
                f"expected one of {PERMISSIONS} "
                "(did you mean network_access?)"
            ),
        ),
        (
            "  permissions:\n  - 7",
            f"m.yaml:7: spec.permissions[0]: found 7, expected one of {PERMISSIONS}",
        ),
        (
            "  permissions:\n  - {system_info: , external_api: }",
            f"m.yaml:7: spec.permissions[0]: found a mapping, expected one of {PERMISSIONS}",
        ),
        (
            "  permissions: system_info",
            "m.yaml:6: spec.permissions: found 'system_info', expected a list",
        ),
        (
            "  permissions:\n  - external_api:\n      hosts:\n      - a.b:1\n      - A.b",
            (
                "m.yaml:10: spec.permissions[0].external_api.hosts[1]: found 'A.b', expected "
                "host:port in lower case, such as api.example.com:443 or *.example.com:443"
            ),
        ),
        (
            "  permissions:\n  - external_api: {host: [a.b:1]}",
            (
                "m.yaml:7: spec.permissions[0].external_api.host: found an unknown field, "
                "expected one of required, reason, hosts (did you mean hosts?)"
            ),
        ),
        (
            "  permissions:\n  - external_api: 3",
            (
                "m.yaml:7: spec.permissions[0]: "
                "found external_api with something that is no mapping, "
                "expected a mapping of parameters"
            ),
        ),
        (
            "  permissions:\n  - system_info: {kind: network_access}",
            (
                "m.yaml:7: spec.permissions[0]: found 'kind' among the parameters of system_info, "
                "expected no such field"
            ),
        ),
        (
            "  permissions:\n  - network_access: {raw: 1}",
            "m.yaml:7: spec.permissions[0].network_access.raw: found 1, expected true or false",
        ),
        (
            "  permissions:\n  - network_access: {raw: yes}",
            "m.yaml:7: spec.permissions[0].network_access.raw: found 'yes', expected true or false",
        ),
        (
            "  permissions:\n  - network_access: {ports: [443, 70000]}",
            (
                "m.yaml:7: spec.permissions[0].network_access.ports[1]: found 70000, "
                "expected a whole number, 1 to 65535"
            ),
        ),
        (
            "  permissions:\n  - system_info\n  - system_info",
            (
                "m.yaml:6: spec.permissions: found system_info more than once, "
                "expected every permission once"
            ),
        ),
        (
            "  permissions:\n  - user_interface\n  - system_info: {required: true}",
            (
                "m.yaml:8: spec.permissions[1]: found 'required' or 'reason' of system_info, "
                "expected them in plugin.yaml only"
            ),
        ),
        (
            "  state: up",
            "m.yaml:6: spec.state: found 'up', expected one of running, stopped",
        ),
        (
            "  secrets: {Token: {file: t}}",
            (
                "m.yaml:6: spec.secrets.Token: found 'Token', expected "
                "at most 63 lower-case letters, digits, '-' and '_', a letter first"
            ),
        ),
        (
            "  secrets:\n    token: {file: ''}",
            "m.yaml:7: spec.secrets.token.file: found '', expected text that is not empty",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_wrong_manifest_is_told_with_line_field_found_and_expected(
    spec: str, message: str
) -> None:
    assert problems_of_manifest(spec) == [message]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "dependencies: [b@]",
            (
                "p.yaml:8: dependencies[0]: found 'b@', "
                "expected a plugin id or id@range, such as knowledge-search@^1.2"
            ),
        ),
        (
            "dependencies: [Bad@^1]",
            (
                "p.yaml:8: dependencies[0]: found 'Bad@^1', "
                "expected a plugin id or id@range, such as knowledge-search@^1.2"
            ),
        ),
        (
            "dependencies:\n- a\n- b@zz",
            "p.yaml:10: dependencies[1]: found 'zz', expected an npm-style range such as ^1.2",
        ),
        (
            "dependencies: [echo]",
            "p.yaml:8: dependencies: found the plugin itself, expected other plugins",
        ),
        (
            "dependencies: [a, a@^1]",
            "p.yaml:8: dependencies: found a more than once, expected every name once",
        ),
        (
            "min_core_version: '1'",
            "p.yaml:8: min_core_version: found '1', expected a SemVer version such as 1.2.3",
        ),
        (
            "min_core_version: 1.0",
            "p.yaml:8: min_core_version: found 1.0, expected text",
        ),
        (
            f"min_core_version: 1.2.3+{'a' * 300}",
            (
                f"p.yaml:8: min_core_version: found '1.2.3+{'a' * 54}…', "
                "expected at most 256 characters"
            ),
        ),
        (
            "publishes: [Made]",
            (
                "p.yaml:8: publishes[0]: found 'Made', "
                "expected lower-case words joined by dots, such as order.created or order.*"
            ),
        ),
        (
            "tools:\n- {name: Say, description: x}",
            (
                "p.yaml:9: tools[0].name: found 'Say', "
                "expected at most 64 lower-case letters, digits and '_', a letter first"
            ),
        ),
        (
            "config_schema:\n  properties:\n    a: {type: txt}",
            (
                "p.yaml:10: config_schema.properties.a.type: found 'txt', "
                "expected what JSON Schema 2020-12 allows"
            ),
        ),
        (
            "config_schema: {required: x}",
            "p.yaml:8: config_schema.required: found 'x', expected array",
        ),
        (
            "tools:\n- name: say\n  description: x\n  input_schema: {$ref: 'file:///etc/passwd'}",
            (
                "p.yaml:11: tools[0].input_schema.$ref: found 'file:///etc/passwd', "
                "expected a reference within it, such as #/$defs/x"
            ),
        ),
        (
            "tools:\n- name: say\n  description: x\n  output_schema:\n    minimum: x",
            "p.yaml:12: tools[0].output_schema.minimum: found 'x', expected number",
        ),
    ],
)
def test_wrong_metadata_is_told_with_line_field_found_and_expected(more: str, message: str) -> None:
    assert problems_of_info(more) == [message]


def test_long_text_is_measured_not_shown() -> None:
    info = INFO.replace("Echo\n", "x" * 3_000 + "\n", 1)

    assert problems_of_info("", info) == [
        "p.yaml:2: name: found text of 3,000 characters, expected text of 1 to 100 characters"
    ]


def test_an_unknown_category_is_answered_with_all_twelve() -> None:
    [message] = problems_of_info("", INFO.replace("communication", "comms"))

    assert message == "p.yaml:6: category: found 'comms', expected one of " + ", ".join(
        PluginCategory
    )


def test_all_problems_of_a_file_come_at_once_from_top_to_bottom() -> None:
    info = INFO.replace("1.2.3", "one").replace("author: Somebody\n", "")
    more = "licence: MIT\nconfig_schema: {type: obj}\nlimits: {max_disk_mb: 1}\n"

    assert problems_of_info(more, info) == [
        "p.yaml:1: author: found nothing, expected text of 1 to 200 characters",
        "p.yaml:3: version: found 'one', expected a SemVer version such as 1.2.3",
        (
            "p.yaml:7: licence: found an unknown field, expected one of plugin_id, name, version, "
            "author, description, category, dependencies, permissions, entry_point, config_schema, "
            "min_core_version, max_core_version, limits, tools, publishes, subscribes, secrets, "
            "license, homepage, changelog, migrations, deprecated (did you mean license?)"
        ),
        "p.yaml:8: config_schema.type: found 'obj', expected what JSON Schema 2020-12 allows",
        "p.yaml:9: limits.max_disk_mb: found 1, expected a whole number of MiB, 4 to 1048576",
    ]


def test_problems_carry_their_parts() -> None:
    with pytest.raises(InvalidFile) as caught:
        parse_plugin_info((INFO + "secrets: [OK]").encode(), "p.yaml")

    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "invalid_file")
    assert [problem.to_json() for problem in caught.value.problems] == [
        {
            "file": "p.yaml",
            "line": 8,
            "column": 11,
            "field": "secrets[0]",
            "found": "'OK'",
            "expected": "at most 63 lower-case letters, digits, '-' and '_', a letter first",
            "hint": "",
        }
    ]
