"""What counts as a finding in one text, and that no answer carries the secret."""

import re

import pytest
from detect_secrets.settings import get_settings
from hypothesis import example, given
from hypothesis import strategies as st
from secret_scanner_detectors import UnknownDetector, detector_classes, make_detectors
from secret_scanner_text import (
    BLOCK_CHARACTERS,
    PIECE_CHARACTERS,
    Finding,
    TextScanner,
    fingerprint,
    preview,
)

AWS_KEY = "AKIAIOSFODNN7EXAMPLE"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the example of the documentation
GITHUB = "ghp_" + "a1B2" * 9
ANTHROPIC = "sk-ant-api03-" + "Ab1_" * 24
GOOGLE = "AIza" + "Sy0" * 11 + "Qq"
HUGGING_FACE = "hf_" + "aBcDeFgH" * 4 + "iJ"
GITHUB_FINE = "github_pat_" + "1A" * 11 + "_" + "b2C" * 19 + "zz"
GITLAB = "glpat-" + "x1Y2z3" * 4
SNIPPETS = [
    *(AWS_KEY, f'aws_key="{AWS_SECRET}"', GITHUB, GITHUB_FINE, GITLAB, ANTHROPIC, GOOGLE),
    *(HUGGING_FACE, "//u:pw@", "http:", "password", " = ", '"', "'", "\n", "\r\n", " ", "secret: "),
    *("2b00042f7481c7b056c4b410d28f33cf", "BEGIN PRIVATE KEY", "softlayer_key=", "a" * 64),
    *("xoxb-12345-abcdef", "sk_live_" + "a1" * 12, "cloudant:", "ibm_api_key: ", "A1b2" * 11),
]


def numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.splitlines(), start=1))


def scanner(**changes: object) -> TextScanner:
    detectors = make_detectors(disabled=["IPPublicDetector"], base64_limit=4.5, hex_limit=3.0)
    arguments = {"detectors": detectors, "fingerprint_key": b"key", **changes}
    return TextScanner(**arguments)


def scan(text: str, path: str = "", **changes: object) -> list[Finding]:
    return list(scanner(**changes).scan(text, path, stop=lambda: False))


@pytest.mark.parametrize(
    ("line", "detector", "secret"),
    [
        (f"aws_access_key_id = {AWS_KEY}", "AWSKeyDetector", AWS_KEY),
        (f'aws_secret_access_key = "{AWS_SECRET}"', "AWSKeyDetector", AWS_SECRET),
        (f"token: {GITHUB}", "GitHubTokenDetector", GITHUB),
        (f"token: {GITHUB_FINE}", "GitHubTokenDetector", GITHUB_FINE),
        (f"use {GITLAB} here", "GitLabTokenDetector", GITLAB),
        (f"ANTHROPIC={ANTHROPIC}", "AnthropicKeyDetector", ANTHROPIC),
        (f"maps key {GOOGLE}", "GoogleApiKeyDetector", GOOGLE),
        (f"hub {HUGGING_FACE}", "HuggingFaceTokenDetector", HUGGING_FACE),
        ("see postgres://app:correct-horse@db/x", "BasicAuthDetector", "correct-horse"),
        ("-----BEGIN RSA PRIVATE KEY-----", "PrivateKeyDetector", "BEGIN RSA PRIVATE KEY"),
        ('password = "hunter2-hunter2"', "KeywordDetector", "hunter2-hunter2"),
        ("x = 'c3VwZXIgbG9uZyBzdHJpbmcgc2hvdWxkIGNhdXNlIGVub3VnaCBlbnRyb3B5'",
         "Base64HighEntropyString",
         "c3VwZXIgbG9uZyBzdHJpbmcgc2hvdWxkIGNhdXNlIGVub3VnaCBlbnRyb3B5"),
        ("x = '2b00042f7481c7b056c4b410d28f33cf'", "HexHighEntropyString",
         "2b00042f7481c7b056c4b410d28f33cf"),
    ],
)  # fmt: skip
def test_a_secret_is_found_once_by_its_most_telling_detector(
    line: str, detector: str, secret: str
) -> None:
    found = scan(f"first\n{line}\nlast", "notes.txt")

    assert [(f.detector, f.line, f.preview) for f in found] == [(detector, 2, preview(secret))]


@pytest.mark.parametrize(
    "line",
    [
        "a line of ordinary prose about passwords and keys",
        "password = os.environ['PASSWORD']",
        'password = "${DB_PASSWORD}"',
        'password = "<your password>"',
        "id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
        'password = "********"',
        'api_key = "0123456789"',
        "version: 1.2.3",
        "server at 8.8.8.8",
    ],
)
def test_what_only_looks_like_a_secret_is_passed_over(line: str) -> None:
    found = scan(line, "settings.py")

    assert found == []


def test_an_unquoted_value_counts_in_configuration_but_not_in_source_code() -> None:
    line = "password = correct_horse_battery"

    assert [f.detector for f in scan(line, "deploy/.env")] == ["KeywordDetector"]
    assert scan(line, "settings.py") == []


def test_two_secrets_of_one_line_are_two_findings() -> None:
    found = scan(f'{{"key": "{AWS_KEY}", "password": "correct-horse-battery"}}', "a.json")

    assert sorted(f.detector for f in found) == ["AWSKeyDetector", "KeywordDetector"]


def test_a_short_secret_does_not_hide_a_longer_one_that_happens_to_contain_it() -> None:
    found = scan(f"postgres://app:AKIA@db {AWS_KEY}", "a.txt")

    assert sorted(f.detector for f in found) == ["AWSKeyDetector", "BasicAuthDetector"]


def test_the_allowlist_comment_is_honoured_only_where_the_operator_says_so() -> None:
    line = f"key = '{AWS_KEY}'  # pragma: allowlist secret"
    above = f"# pragma: allowlist nextline secret\nkey = '{AWS_KEY}'"

    assert scan(line) == scan(above) == []
    assert len(scan(line, honour_allowlist=False)) == 1


@pytest.mark.parametrize("offset", [0, PIECE_CHARACTERS - 10, PIECE_CHARACTERS, 20_000])
def test_a_secret_anywhere_in_a_very_long_line_is_found(offset: int) -> None:
    found = scan("x" * offset + f" {AWS_KEY} " + "y" * 9_000, "bundle.js")

    assert [f.preview for f in found] == [preview(AWS_KEY)]


def test_scanning_ends_between_two_findings_when_told_to() -> None:
    asked = iter([False, True])
    found = list(scanner().scan(f"{AWS_KEY}\n{AWS_KEY}", "", stop=lambda: next(asked)))

    assert [f.line for f in found] == [1]


def test_scanning_ends_between_two_blocks_when_told_to() -> None:
    text = "word\n" * (BLOCK_CHARACTERS // 2) + AWS_KEY
    asked = iter([False, True])
    found = list(scanner().scan(text, "", stop=lambda: next(asked)))

    assert found == []


@given(st.lists(st.sampled_from(SNIPPETS), max_size=12), st.sampled_from(["a.py", "a.yaml", ""]))
@example(["//r/:_authToken=\nnpm_x //r/:_authToken=npm_y"], "")
def test_no_detector_misses_a_line_for_the_quick_first_look(words: list[str], path: str) -> None:
    text = "".join(words)
    whole = scanner()
    looked_at = {(number, rank) for number, rank, _ in whole._candidates(numbered(text))}
    missed = {
        (number, rank)
        for number, line in enumerate(text.splitlines(), start=1)
        for rank, detector in enumerate(whole.detectors)
        if detector.analyze_line(filename=path, line=line)
    } - looked_at

    assert missed == set()


@given(st.text(min_size=1, max_size=300))
def test_a_preview_shows_at_most_four_characters_and_at_most_a_fifth(secret: str) -> None:
    shown, _, length = preview(secret).rpartition("… ")

    assert secret.startswith(shown)
    assert len(shown) <= min(4, len(secret) / 5)
    assert length == f"({len(secret)} characters)"


def test_fingerprints_tell_secrets_apart_and_depend_on_the_key() -> None:
    prints = {fingerprint("one", b"a"), fingerprint("two", b"a"), fingerprint("one", b"b")}

    assert len(prints) == 3
    assert fingerprint("one", b"a") == fingerprint("one", b"a")
    assert all(re.fullmatch(r"[0-9a-f]{32}", text) for text in prints)


def test_two_private_keys_have_two_fingerprints() -> None:
    begin = "-----BEGIN EC PRIVATE KEY-----"
    first, second = scan(f"{begin}\nMHcCAQEE\n{begin}\nMHcCAQFF")

    assert first.fingerprint != second.fingerprint


def test_no_detector_asks_a_service_whether_a_secret_is_live() -> None:
    scan(AWS_KEY)

    assert not [name for name in get_settings().filters if "verification" in name]


def test_an_unknown_detector_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(UnknownDetector, match=r"NoSuchDetector; there are AWSKeyDetector, "):
        make_detectors(disabled=["NoSuchDetector"], base64_limit=4.5, hex_limit=3.0)


def test_a_disabled_detector_is_not_used_and_limits_reach_the_entropy_detectors() -> None:
    detectors = make_detectors(disabled=["AWSKeyDetector"], base64_limit=5.5, hex_limit=2.5)
    by_name = {type(detector).__name__: detector for detector in detectors}

    assert by_name.keys() == detector_classes().keys() - {"AWSKeyDetector"}
    assert by_name["Base64HighEntropyString"].entropy_limit == 5.5
    assert by_name["HexHighEntropyString"].entropy_limit == 2.5
