"""`plan --git`: what a branch changes, as Markdown that what it shows cannot take over."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.gitops.markdown import (
    MAX_CHARACTERS,
    MAX_TROUBLE_CHARACTERS,
    code,
    markdown,
)
from orchestrator.gitops.review import PluginReview, Review
from orchestrator.manager.preview import FieldChange
from tests.support.git import Repo
from tests.unit.cli.conftest import Shell, shell

__all__ = ["shell"]

INFO = """\
plugin_id: weather
name: Weather
version: VERSION
author: Ada
description: Tells it.
category: communication
entry_point: weather:Weather
permissions: [PERMISSIONS]
secrets: [token]
"""
MANIFEST = """\
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: weather}
spec:
  source: {build: ../plugins/weather}
  secrets: {token: {age: token.age}}
"""
HOSTS = '  permissions: [{external_api: {hosts: ["HOST"]}}]\n'


def info(version: str = "1.0.0", permissions: str = "external_api") -> str:
    return INFO.replace("VERSION", version).replace("PERMISSIONS", permissions)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo(tmp_path / "remote")
    repo.commit(
        {
            "manifests/weather.yaml": MANIFEST + HOSTS.replace("HOST", "a.example:443"),
            "manifests/notes.yaml": MANIFEST.replace("weather}", "notes}", 1).replace(
                "build: ../plugins/weather", "image: notes"
            ),
            "manifests/token.age": "old",
            "plugins/weather/plugin.yaml": info(),
            "plugins/weather/weather.py": "pass\n",
        }
    )
    repo.git("checkout", "-q", "-b", "change")
    return repo


def plan(shell: Shell, repo: Repo, *more: str) -> tuple[int, list[str]]:
    shown = shell("plan", "--git", repo.url, "--ref", "change", *more)
    assert shown.err == "", shown.err
    return shown.code, shown.out.splitlines()


def test_a_branch_that_changes_nothing_says_so(repo: Repo, shell: Shell) -> None:
    repo.commit({"README.md": "x\n"})
    exit_code, lines = plan(shell, repo)

    assert exit_code == 0
    assert lines[0] == "### Orchestrator plan"
    assert lines[2].endswith(": 2 unchanged.")
    assert len(lines) == 3


def test_what_changes_is_listed_field_by_field_and_what_widens_first(
    repo: Repo, shell: Shell
) -> None:
    head = repo.commit(
        {
            "manifests/weather.yaml": MANIFEST
            + HOSTS.replace('"HOST"', '"a.example:443", "b.example:443"')
            + "  limits: {max_memory_mb: 256}\n",
            "manifests/token.age": "new",
            "plugins/weather/plugin.yaml": info("1.1.0", "external_api, system_info"),
            "plugins/weather/weather.py": "import os\n",
        }
    )
    exit_code, lines = plan(shell, repo)
    base = repo.git("rev-parse", "main")

    assert exit_code == 2
    assert lines[2:] == [
        f"`{base[:12]}` → `{head[:12]}`: 2 changed, 0 unchanged.",
        "",
        "**Permissions would widen:**",
        "",
        (
            "- `weather` `is granted b.example:443 in external_api.hosts "
            "(before: a.example:443, now: a.example:443, b.example:443)`"
        ),
        (
            "- `weather` `asks for a max_memory_mb of its manifest's "
            "(before: the plugin's own, now: 256)`"
        ),
        (
            "- `weather` `asks for the permission system_info (before: not asked, now: asked) "
            "in plugin.yaml`"
        ),
        "",
        "#### ✏️ `notes` changed",
        "",
        "`manifests/notes.yaml`",
        "",
        "- `the encrypted file of secrets.token`",
        "",
        "#### ✏️ `weather` changed",
        "",
        "`manifests/weather.yaml`",
        "",
        "- `version 1.0.0 → 1.1.0`",
        "- `its code: the image is built anew`",
        "- `the encrypted file of secrets.token`",
        '- `spec.limits`: nothing → `{"max_memory_mb": 256}`',
        (
            '- `spec.permissions.external_api.hosts`: `["a.example:443"]` → '
            '`["a.example:443", "b.example:443"]`'
        ),
    ]


def test_a_new_plugin_and_one_that_goes_are_told(repo: Repo, shell: Shell) -> None:
    text = MANIFEST.replace("weather}", "fresh}", 1).replace(
        "build: ../plugins/weather", "image: fresh"
    )
    repo.commit({"manifests/notes.yaml": None, "manifests/fresh.yaml": text})
    exit_code, lines = plan(shell, repo)

    assert exit_code == 2
    assert lines[2].endswith(": 1 added, 1 removed, 1 unchanged.")
    assert "#### ➕ `fresh` added" in lines  # noqa: RUF001
    assert "#### ➖ `notes` removed" in lines  # noqa: RUF001


def test_a_wrong_file_is_told_with_its_line_and_is_no_removal(repo: Repo, shell: Shell) -> None:
    repo.commit({"manifests/notes.yaml": "kind: [\n"})
    exit_code, lines = plan(shell, repo)

    assert exit_code == 65
    assert "**1 could not be taken up:**" in lines
    assert any(re.match(r"- `commit \w+: manifests/notes\.yaml:1: found broken", x) for x in lines)
    assert not any("removed" in line for line in lines)


def test_policy_has_its_word_where_there_is_one(repo: Repo, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.yaml").write_text("policy: {permissions: [system_info]}\n")
    exit_code, lines = plan(shell, repo)

    assert exit_code == 65
    assert any("permission_forbidden" in line or "refused by policy" in line for line in lines)


def test_each_rule_that_refuses_has_a_bullet_of_its_own_and_is_told_whole(
    repo: Repo, shell: Shell, tmp_path: Path
) -> None:
    hosts = ", ".join(f'"{"h" * 60}{number}.example:443"' for number in range(5))
    repo.commit(
        {
            "manifests/weather.yaml": MANIFEST
            + f"  permissions: [{{external_api: {{hosts: [{hosts}]}}}}]\n"
            + "  limits: {max_memory_mb: 999999}\n"
        }
    )
    (tmp_path / "orchestrator.yaml").write_text("policy: {permissions: [system_info]}\n")
    exit_code, lines = plan(shell, repo)
    at = lines.index("**1 could not be taken up:**")
    first, *rules = lines[at + 2 : lines.index("", at + 2)]

    assert exit_code == 65
    assert first == "- `manifests/weather.yaml: weather: refused by policy:`"
    assert len(rules) >= 2
    assert all(re.fullmatch(r"  - `spec\..* \[\w+\]`", rule) for rule in rules), rules
    assert any("limits.max_memory_mb" in rule for rule in rules)
    assert any("permissions" in rule for rule in rules)


def test_widening_can_be_made_to_fail(repo: Repo, shell: Shell) -> None:
    hosts = HOSTS.replace("HOST", "b.example:443")
    repo.commit({"manifests/weather.yaml": MANIFEST + hosts})

    assert plan(shell, repo)[0] == 2
    assert plan(shell, repo, "--no-widening")[0] == 77
    repo.commit({"manifests/weather.yaml": MANIFEST})
    assert plan(shell, repo, "--no-widening")[0] == 2


def test_a_base_without_manifests_makes_everything_new(repo: Repo, shell: Shell) -> None:
    repo.git("checkout", "-q", "--orphan", "empty")
    repo.git("rm", "-rqf", ".")
    repo.commit({"README.md": "x\n"})
    exit_code, lines = plan(shell, repo, "--base", "empty")

    assert exit_code == 2
    assert lines[2].endswith(": 2 added, 0 unchanged.")


def test_commits_are_named_by_their_ids_too(repo: Repo, shell: Shell) -> None:
    head = repo.commit({"manifests/notes.yaml": None})
    base = repo.git("rev-parse", "main")
    shown = shell("plan", "--git", repo.url, "--ref", head, "--base", base, "--json")
    answer = json.loads(shown.out)

    assert shown.code == 2
    assert [(one["plugin_id"], one["kind"]) for one in answer["plugins"]] == [("notes", "removed")]


def test_an_environment_is_compared_with_its_patches(repo: Repo, shell: Shell) -> None:
    patch = MANIFEST.partition("spec:")[0] + "spec: {limits: {max_memory_mb: 64}}\n"
    repo.commit({"manifests/environments/prod/w.yaml": patch})
    repo.git("branch", "-f", "main")
    repo.commit({"manifests/environments/prod/w.yaml": patch.replace("64", "96")})
    without, _ = plan(shell, repo)
    exit_code, lines = plan(shell, repo, "-e", "prod")

    assert (without, exit_code) == (0, 2)
    assert lines[-1] == "- `spec.limits.max_memory_mb`: `64` → `96`"


@pytest.mark.parametrize(
    "words",
    [
        ["--git", "."],
        ["--ref", "main"],
        ["--base", "main"],
        ["--no-widening"],
        ["--git", ".", "--ref", "main", "manifests"],
    ],
)
def test_half_of_what_is_needed_is_refused(shell: Shell, words: list[str]) -> None:
    assert shell("plan", *words).code == 64


def test_nothing_is_left_of_it(
    repo: Repo, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    plan(shell, repo)

    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "home").exists()


# -- markdown ---------------------------------------------------------------------------------

HOSTILE = st.text(st.sampled_from("`|<>@#[]()!*_~\\\n\r\t a1\u202e\u2028&"), max_size=30)


def _spans_removed(line: str) -> str:
    """A line without its code spans, by CommonMark's rule: runs of the same length pair up."""
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", line)


@given(HOSTILE)
def test_a_code_span_holds_whatever_it_is_given(text: str) -> None:
    assert _spans_removed(f"x{code(text)}y") == "xy"


@given(HOSTILE, HOSTILE)
def test_nothing_of_a_commit_stands_outside_of_a_code_span(text: str, other: str) -> None:
    plugin = PluginReview(
        plugin_id=text,
        kind="changed",
        file=other,
        widens=(text,),
        fields=(FieldChange(field=text, old=other, new={text: other}),),
        other=(other,),
    )
    shown = markdown(
        Review(base="b", head="h", plugins=(plugin,), unchanged=0, troubles=(text, other))
    )
    rest = [_spans_removed(line) for line in shown.split("\n")]

    assert not set("".join(rest)) & set("<>@[]()!_~\\\r\t\u202e\u2028&|")
    assert all(line.count("`") == 0 for line in rest)


def test_it_is_never_longer_than_a_comment_may_be() -> None:
    plugins = tuple(
        PluginReview(plugin_id=f"p{n}", kind="added", file="x" * 500, widens=("y" * 500,))
        for n in range(1_000)
    )
    shown = markdown(Review(base="b", head="h", plugins=plugins, unchanged=0, troubles=()))

    assert MAX_CHARACTERS - 1_000 < len(shown) < 65_536
    assert shown.endswith(" lines more.\n")


def test_troubles_without_end_push_nothing_out_that_widens() -> None:
    plugin = PluginReview(plugin_id="p", kind="added", file="x", widens=("may all of it",))
    for troubles in (("y" * 900,) * 1_000, ("y" * 900 + "\n" + "z\n" * 100_000,)):
        shown = markdown(
            Review(base="b", head="h", plugins=(plugin,), unchanged=0, troubles=troubles)
        )

        assert "- `p` `may all of it`" in shown.splitlines()
        assert len(shown) < MAX_TROUBLE_CHARACTERS + 2_000
    assert "  - … and 99951 lines more." in shown.splitlines()
