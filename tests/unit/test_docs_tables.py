"""What the documentation lists: nothing missing, nothing invented, every value as in the code."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import click
import pytest
from pydantic import BaseModel

import orchestrator
from orchestrator.cli import exits
from orchestrator.cli.main import COMMANDS, cli
from orchestrator.daemon import settings
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.events.bus import KEPT_EVENTS
from orchestrator.manager import bring_up, probe, restart, secrets
from orchestrator.model.editor_schemas import editor_schemas
from orchestrator.model.events import EventName
from orchestrator.model.info import PluginInfo, ToolInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import InstanceConfig, SecurityPolicy
from orchestrator.policy.baseline import FORBIDDEN_NAMES, FORBIDDEN_SHARES, FORBIDDEN_TREES
from orchestrator.policy.grant import PermissionNotHeld
from orchestrator.policy.seccomp import REFUSED
from orchestrator.sandbox import sandbox, wire
from orchestrator.sandbox.call import CallFailure, FailureCode
from orchestrator.server.problems import FAILURE_KIND, STATUS, failure_problem
from tests.unit.pages import ROOT, page, section, table, tracked

PACKAGE = ROOT / "orchestrator"


def _column(name: str, heading: str, *, first: str, number: int = 0) -> list[str]:
    return [row[number] for row in table(name, heading, first=first)]


def _sources(*rooms: str) -> str:
    return "\n".join(path.read_text() for room in rooms for path in (PACKAGE / room).rglob("*.py"))


# -- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section_with_exactly_its_options(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = {
        word
        for p in command.params
        if isinstance(p, click.Option)
        for word in [*p.opts, *p.secondary_opts]
    }

    text = section("docs/commands.md", name)
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `-")]
    assert set(re.findall(r"(?<!\w)--?[a-z-]+", " ".join(rows))) == options
    assert len(rows) == len([p for p in command.params if isinstance(p, click.Option)])
    assert f"orchestrator {name}" in text


def test_the_readme_lists_exactly_the_commands() -> None:
    rows = _column("README.md", "Commands", first="command")

    assert [row.split()[1] for row in rows] == list(COMMANDS)


def test_the_exit_codes_are_those_of_the_code() -> None:
    documented = {int(code) for code in _column("docs/commands.md", "Exit codes", first="code")}
    own = {exits.OK, exits.CHANGES, exits.USAGE, exits.INTERRUPTED}

    assert documented == own | set(exits.BY_KIND.values())


def test_the_environment_variables_are_those_of_the_code() -> None:
    constants = {v for k, v in vars(settings).items() if k.endswith("_VARIABLE")}
    read = set(re.findall(r"environ\w*\.get\(\s*\"(\w+)\"", _sources("daemon", "cli")))

    documented = _column("docs/commands.md", "Environment variables", first="variable")
    assert set(documented) == constants | read


def test_the_schemas_are_those_of_the_code() -> None:
    assert _column("docs/commands.md", "schema", first="NAME") == list(editor_schemas())


def test_the_checks_of_doctor_are_those_of_the_code() -> None:
    checks = re.findall(r'check="([^"]+)"', _sources("manager"))

    assert sorted(_column("docs/operations.md", "Doctor", first="check")) == sorted(checks)


# -- errors and events ------------------------------------------------------------------------


def _leaves(root: type[OrchestratorError] = OrchestratorError) -> Iterator[type[OrchestratorError]]:
    yield root
    for leaf in root.__subclasses__():
        yield from _leaves(leaf)


def _all_errors() -> Mapping[str, type[OrchestratorError]]:
    ours = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in tracked("orchestrator")}
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if module.name in ours and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {error.code: error for error in _leaves() if error.__module__ in ours}


def test_the_kinds_have_the_exit_codes_and_statuses_of_the_code() -> None:
    rows = [row[:3] for row in table("docs/errors.md", "Kinds", first="kind")]

    assert sorted(rows) == sorted([k, str(exits.BY_KIND[k]), str(STATUS[k])] for k in Kind)


def test_every_error_code_is_listed_with_its_kind_exit_code_and_status() -> None:
    rows = [row[:4] for row in table("docs/errors.md", "Error codes", first="code")]

    assert rows == [
        [code, error.kind, str(exits.BY_KIND[error.kind]), str(STATUS[error.kind])]
        for code, error in sorted(_all_errors().items())
    ]


def test_every_failure_of_a_call_is_listed_with_its_kind_exit_code_and_status() -> None:
    rows = [row[:4] for row in table("docs/errors.md", "Failures of calls", first="code")]

    assert rows == [
        [
            code,
            FAILURE_KIND[code],
            str(exits.BY_KIND[FAILURE_KIND[code]]),
            str(failure_problem(CallFailure(code=code, detail=""))[0]),
        ]
        for code in FailureCode
    ]


@pytest.mark.parametrize("heading", ["Error codes", "Failures of calls"])
def test_every_error_code_has_a_meaning_and_an_advice(heading: str) -> None:
    rows = table("docs/errors.md", heading, first="code")

    assert [row[0] for row in rows if len(row) != 6 or not (row[4] and row[5])] == []


def test_every_reason_for_a_failed_start_is_explained() -> None:
    source = _sources("manager")
    raised = set(re.findall(r"StartFailed\(\s*\"(\w+)\"", source)) | {bring_up.DIED_AT_START}

    documented = set(_column("docs/errors.md", "Why a plugin failed", first="reason"))
    assert raised <= documented
    assert {r for r in documented if f'"{r}"' not in source} == {"exit_code_N"}


def test_the_events_are_those_of_the_code() -> None:
    assert _column("docs/events.md", "Events", first="type") == list(EventName)


# -- permissions, limits, fields --------------------------------------------------------------


def test_the_permissions_their_parameters_and_what_works_are_those_of_the_code(make: Any) -> None:
    rows = {row[0]: row for row in table("docs/permissions.md", "The eight", first="permission")}

    assert set(rows) == set(PermissionKind)
    for kind, row in rows.items():
        permission = make.manifest(kind).spec.permissions[0]
        own = set(type(permission).model_fields) - {"kind", "required", "reason"}
        assert set(row[1].split(", ")) == (own or {"none"}), kind
        assert row[4].startswith("works") == _works(make, kind), kind


def test_the_readme_says_of_each_permission_whether_it_works(make: Any) -> None:
    rows = table("README.md", "Permissions", first="permission")

    said = {row[0]: row[3] for row in rows}
    assert said == {k: "works" if _works(make, k) else "refused" for k in PermissionKind}


def _works(make: Any, permission: str) -> bool:
    try:
        make.deployment(permission)
    except PermissionNotHeld:
        return False
    return True


def test_the_refusals_are_those_of_the_code() -> None:
    rules = re.findall(r'rule="(\w+)"', _sources("policy"))

    documented = _column("docs/permissions.md", "Refusals", first="rule")
    assert sorted(documented) == sorted(set(rules))


def test_the_limits_have_the_defaults_and_ceilings_of_the_code() -> None:
    rows = [row[:3] for row in table("README.md", "Limits", first="limit")]
    ceilings = SecurityPolicy().ceilings

    assert rows == [
        [name, str(default), str(getattr(ceilings, name))] for name, default in ResourceLimits()
    ]


def _fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a file, dotted, with its JSON Schema; a mapping's keys are NAME."""
    schema = model.model_json_schema(by_alias=True)

    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, field in node.get("properties", {}).items():
            inner = _plain(schema, field)
            dotted = f"{path}.{name}".strip(".")
            if "properties" not in inner:
                yield dotted, {**inner, "required": name in node.get("required", ())}
            yield from walk(inner, dotted)
            for value in inner.get("patternProperties", {}).values():
                yield from walk(_plain(schema, value), f"{dotted}.NAME")

    return walk(schema, path)


def _plain(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """A field without references and without the null of an optional one."""
    default = {"default": node["default"]} if "default" in node else {}
    if "anyOf" in node:
        node = next(part for part in node["anyOf"] if part.get("type") != "null")
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return {**node, **default}


@pytest.mark.parametrize(
    ("model", "heading"),
    [(PluginManifest, "A manifest"), (InstanceConfig, "orchestrator.yaml")],
)
def test_every_field_of_a_file_is_listed_with_its_default_and_bounds(
    model: type[BaseModel], heading: str
) -> None:
    rows = {row[0]: row for row in table("docs/manifests.md", heading, first="field")}
    fields = dict(_fields(model))

    assert list(rows) == list(fields)
    wrong = {
        name: rows[name][1:3] for name, field in fields.items() if not _says(rows[name], field)
    }
    assert wrong == {}


def _says(row: list[str], field: dict[str, Any]) -> bool:
    """Whether the row's default and bounds are the field's; words stand for what is no number."""
    default, allowed = row[1], row[2]
    if field["required"]:
        return default == "required"
    if "minimum" in field:
        bounds = f"{field['minimum']} to {field['maximum']}"
        # In a manifest what is left out is the plugin's own wish; the ceilings' defaults lie in the
        # policy's own default, not in the field.
        ceiling = str(getattr(SecurityPolicy().ceilings, row[0].rpartition(".")[2], ""))
        return allowed.startswith(bounds) and default in {
            str(field.get("default")),
            "the plugin's" if row[0].startswith("spec.") else ceiling,
        }
    if field.get("type") == "boolean":
        return default == str(field["default"]).lower()
    return default not in {"", "required"}


def test_every_folder_that_is_never_shared_is_named() -> None:
    text = section("docs/manifests.md", "Shares")
    never = (*FORBIDDEN_SHARES, *FORBIDDEN_TREES, *FORBIDDEN_NAMES)

    assert [name for name in never if f"`{name}`" not in text] == []


@pytest.mark.parametrize(("model", "heading"), [(PluginInfo, "Metadata"), (ToolInfo, "Tools")])
def test_every_field_of_plugin_yaml_is_listed(model: type[BaseModel], heading: str) -> None:
    rows = table("docs/plugin-contract.md", heading, first="field")

    assert sorted(row[0] for row in rows) == sorted(model.model_fields)
    required = {row[0] for row in rows if row[1] == "required"}
    assert required == {name for name, field in model.model_fields.items() if field.is_required()}


# -- the contract and the sandbox -------------------------------------------------------------


def test_the_contract_lists_the_environment_that_a_plugin_gets(make: Any) -> None:
    given = make.deployment(info={"subscribes": ("a.b",)}).compiled.spec.environment

    assert set(
        _column("docs/plugin-contract.md", "What the container sees", first="environment variable")
    ) == {name for name, _ in given}


def test_the_contract_lists_the_sdks_public_names() -> None:
    listed = set(_column("docs/plugin-contract.md", "In Python", first="name"))
    source = (ROOT / "plugin_images/sdk/orchestrator_sdk/__init__.py").read_text()
    testing = (ROOT / "plugin_images/sdk/orchestrator_sdk/testing.py").read_text()

    public = set(re.findall(r'^    "(\w+)",$', source, re.MULTILINE))
    assert listed == public | {
        f"testing.{name}" for name in re.findall(r"^class (\w+)", testing, re.MULTILINE)
    }


def test_the_refused_system_calls_are_those_of_the_code() -> None:
    rows = table("docs/security.md", "System calls", first="system calls")

    listed = {name: why for names, why in rows for name in names.split(", ")}
    assert listed == dict(REFUSED)


def test_every_file_of_tests_of_the_baseline_is_cited() -> None:
    cited = section("docs/security.md", "The baseline")
    files = sorted((ROOT / "tests" / "baseline").glob("test_*.py"))

    assert [path.name for path in files if f"`tests/baseline/{path.name}`" not in cited] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("docs/events.md", f"latest {KEPT_EVENTS:,} in memory"),
        ("docs/operations.md", f"{restart.FIRST_DELAY_SECONDS:g} s, doubled"),
        ("docs/operations.md", f"at most {restart.MAX_DELAY_SECONDS:g} s"),
        ("docs/operations.md", f"More than {restart.MAX_FAILURES} failures"),
        ("docs/operations.md", f"within {restart.WINDOW_SECONDS / 60:g} minutes"),
        (
            "docs/operations.md",
            f"next look, {SecurityPolicy().reconcile.full_pass_seconds} s later at most",
        ),
        ("docs/manifests.md", f"at most {secrets.MAX_SECRET_BYTES >> 10} KiB"),
        ("docs/plugin-contract.md", f"at most {probe.MAX_METRICS} finite numbers"),
        ("docs/plugin-contract.md", f"within {probe.PROBE_SECONDS:g} s and without work"),
        ("docs/plugin-contract.md", f"control connection for {sandbox.CONTROL_SECONDS:g} s"),
        (
            "docs/plugin-contract.md",
            f"{sandbox.FLOOD_DIALS} connections within {sandbox.FLOOD_SECONDS:g} s",
        ),
        ("docs/plugin-contract.md", f"below {wire.MAX_HEAD_BYTES >> 10} KiB"),
        ("docs/plugin-contract.md", f"headers below {wire.MAX_HEADERS}"),
        ("docs/plugin-contract.md", f"at most {wire.MAX_TYPE_BYTES} bytes"),
    ],
)
def test_a_number_that_is_named_is_that_of_the_code(name: str, words: str) -> None:
    assert words in page(name)
