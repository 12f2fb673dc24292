"""The two tools behind the SDK's dispatch, held to the schemas in plugin.yaml."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestrator_sdk.call import CURRENT, Call
from orchestrator_sdk.testing import PluginTester, Problem
from orchestrator_sdk.tools import tools_of
from secret_scanner import SecretScanner
from secret_scanner_detectors import detector_classes

from orchestrator.model.info import PluginInfo

AWS_KEY = "AKIAIOSFODNN7EXAMPLE"
PASSWORD = "correct-horse-battery"  # noqa: S105 - made up

Start = Callable[..., Callable[..., Any]]


def test_a_text_s_secrets_are_named_and_not_told(start: Start) -> None:
    answer = start()(
        "scan_text", text=f"key {AWS_KEY}\n\npassword: {PASSWORD}\n", path_hint="a/.env"
    )
    rows = [(f["path"], f["type"], f["line"], f["preview"]) for f in answer["findings"]]

    assert rows == [
        ("a/.env", "AWS Access Key", 1, "AKIA… (20 characters)"),
        ("a/.env", "Secret Keyword", 3, "corr… (21 characters)"),
    ]
    assert (answer["count"], answer["truncated"]) == (2, None)
    assert AWS_KEY not in json.dumps(answer)
    assert PASSWORD not in json.dumps(answer)


def test_a_share_s_files_are_scanned_and_counted(start: Start, share: Path) -> None:
    (share / "ops").mkdir()
    (share / "ops" / "deploy.env").write_text(f"AWS={AWS_KEY}\nDB_PASSWORD={PASSWORD}\n")
    (share / "clean.md").write_text("nothing here\n")
    (share / "photo.png").write_bytes(b"\x89PNG")
    answer = start()("scan_share", share="documents")

    assert [(f["path"], f["line"]) for f in answer["findings"]] == [
        ("ops/deploy.env", 1),
        ("ops/deploy.env", 2),
    ]
    assert answer["by_type"] == {"AWS Access Key": 1, "Secret Keyword": 1}
    assert (answer["files_scanned"], answer["bytes_scanned"]) == (2, 72)
    assert answer["skipped"] == {"by_name": 1}
    assert PASSWORD not in json.dumps(answer)


def test_fingerprints_are_stable_with_a_key_and_not_across_starts_without(start: Start) -> None:
    def printed(**config: object) -> str:
        answer = start(**config)("scan_text", text=AWS_KEY)
        return str(answer["findings"][0]["fingerprint"])

    assert printed(fingerprint_key="k") == printed(fingerprint_key="k")
    assert printed() != printed()


@pytest.mark.parametrize(
    ("bounds", "truncated", "count"),
    [
        ({"call": {"max_findings": 3}}, "max_findings", 3),
        ({"config": {"max_findings": 2}, "call": {"max_findings": 5}}, "max_findings", 2),
        ({"config": {"max_files": 3}}, "max_files", 3),
        ({"config": {"max_total_mb": 1}}, None, 6),
        ({"call": {"max_findings": 6}}, None, 6),
    ],
)
def test_a_scan_ends_at_its_bounds_and_says_which(
    start: Start, share: Path, bounds: dict[str, dict[str, int]], truncated: str | None, count: int
) -> None:
    for index in range(6):
        (share / f"{index}.txt").write_text(f"{AWS_KEY}\n")
    scan = start(**bounds.get("config", {}))
    answer = scan("scan_share", share="documents", **bounds.get("call", {}))

    assert (answer["truncated"], answer["count"]) == (truncated, count)


def test_a_scan_reads_no_more_bytes_than_allowed(start: Start, share: Path) -> None:
    for index in range(3):
        (share / f"{index}.txt").write_text("word\n" * 100_000)
    answer = start(max_total_mb=1)("scan_share", share="documents")

    assert (answer["truncated"], answer["bytes_scanned"]) == ("max_total_mb", 1_000_000)


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"share": "secrets"}, 403, "share_not_granted"),
        ({"share": ".."}, 403, "share_not_granted"),
        ({"share": "documents", "path": "../x"}, 422, "path_refused"),
        ({"share": "documents", "path": "none"}, 404, "path_not_found"),
    ],
)
def test_what_may_not_be_scanned_is_a_problem(
    start: Start, arguments: dict[str, str], status: int, code: str
) -> None:
    call = start()
    with pytest.raises(Problem) as caught:
        call("scan_share", **arguments)

    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_text_larger_than_allowed_is_refused(start: Start) -> None:
    call = start(max_text_kb=1)
    with pytest.raises(Problem, match="1025 bytes found, at most 1024 expected"):
        call("scan_text", text="x" * 1_025)

    assert call("scan_text", text="x" * 1_024)["count"] == 0


def test_a_scan_answers_before_the_call_s_deadline() -> None:
    config = {
        "disabled_detectors": [],
        "base64_entropy_limit": 4.5,
        "hex_entropy_limit": 3.0,
        "honour_allowlist_comments": True,
        "fingerprint_key": "",
        "max_text_kb": 10,
        "max_findings": 10,
    }
    with PluginTester(SecretScanner, config=config) as tester:
        token = CURRENT.set(Call({"x-deadline-ms": "1000"}))
        answer = tester.plugin.scan_text(AWS_KEY)
        CURRENT.reset(token)

    assert (answer["truncated"], answer["count"]) == ("deadline", 0)


def test_an_unknown_detector_fails_the_start_with_its_name() -> None:
    config = {
        "disabled_detectors": ["Nope"],
        "base64_entropy_limit": 4.5,
        "hex_entropy_limit": 3.0,
    }
    with pytest.raises(Problem, match="disabled_detectors: no detector is called Nope"):
        PluginTester(SecretScanner, config=config).__enter__()


def test_plugin_yaml_is_a_valid_plugin_and_tells_what_the_code_does(info: dict[str, Any]) -> None:
    checked = PluginInfo.model_validate_json(json.dumps(info))
    properties = info["config_schema"]["properties"]

    assert {tool.name for tool in checked.tools} == tools_of(SecretScanner()).keys()
    assert properties["disabled_detectors"]["items"]["enum"] == sorted(detector_classes())
