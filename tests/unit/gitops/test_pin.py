"""pin: an image in manifests, as a commit on a branch of a real clone that somebody works in."""

import json
from pathlib import Path

import pytest

from orchestrator.gitops.clone import LocalClone
from orchestrator.gitops.pin import Image, NothingToPin, Pin, PinInvalid, pinned
from tests.support.git import Repo
from tests.unit.cli.conftest import Shell, shell

__all__ = ["shell"]

DIGEST = "sha256:" + "ab" * 32
MANIFEST = """\
# Weather for everybody.
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: NAME}   # the id
spec:
  source:
    image: 'ghcr.io/acme/IMAGE:1.0.0'  # pinned by CI
  config: {units:   metric}
"""


def manifest(name: str, image: str = "weather") -> str:
    return MANIFEST.replace("NAME", name).replace("IMAGE", image)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> Repo:
    repo = Repo(tmp_path / "clone")
    repo.git("config", "user.name", "Grace")
    repo.git("config", "user.email", "grace@example.com")
    files: dict[str, str | None] = {
        "manifests/weather.yaml": manifest("weather"),
        "manifests/again.yaml": manifest("again"),
        "manifests/notes.yaml": manifest("notes", "notes"),
        "manifests/environments/prod/weather.yaml": manifest("weather"),
        "README.md": "hello\n",
    }
    repo.commit(files)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(repo.folder)
    return repo


def at(repo: Repo, branch: str, file: str = "manifests/weather.yaml") -> str:
    return repo.git("show", f"{branch}:{file}") + "\n"


def state(repo: Repo) -> list[str]:
    """All that somebody who works in the clone would notice."""
    files = [
        f"{path.relative_to(repo.folder)} {path.read_bytes()!r} {path.stat().st_mtime_ns}"
        for path in sorted(repo.folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    ]
    index = (repo.folder / ".git" / "index").read_bytes()
    return [*files, repr(index), repo.git("rev-parse", "HEAD"), repo.git("symbolic-ref", "HEAD")]


def test_the_commit_changes_one_value_and_touches_nobodys_work(repo: Repo, shell: Shell) -> None:
    (repo.folder / "README.md").write_text("somebody is at it\n")
    (repo.folder / "new.txt").write_text("not added yet\n")
    before, main = state(repo), repo.head
    image = f"ghcr.io/acme/weather:1.1.0@{DIGEST}"
    shown = shell("gitops", "pin", "--branch", "pins", "--plugin", "weather", "--image", image)

    assert (shown.code, shown.err) == (0, "")
    assert state(repo) == before
    assert at(repo, "pins") == manifest("weather").replace("ghcr.io/acme/weather:1.0.0", image)
    assert repo.git("diff", "--name-only", "main", "pins") == "manifests/weather.yaml"
    assert repo.git("rev-parse", "pins^") == main
    assert repo.git("log", "-1", "--format=%an <%ae>|%cn|%s", "pins") == (
        "Grace <grace@example.com>|Grace|Pin weather"
    )
    assert f"manifests/weather.yaml: ghcr.io/acme/weather:1.0.0 → {image}" in shown.out


def test_a_second_pin_goes_on_top_of_the_first(repo: Repo, shell: Shell) -> None:
    for version in ("1.1.0", "1.2.0"):
        words = ("--branch", "pins", "--plugin", "weather", "--version", version)
        assert shell("gitops", "pin", *words, "--digest", DIGEST).code == 0

    assert repo.git("rev-list", "--count", "main..pins") == "2"
    assert f"'ghcr.io/acme/weather:1.2.0@{DIGEST}'  # pinned by CI" in at(repo, "pins")


def test_without_a_plugin_all_of_the_repository_are_pinned(repo: Repo, shell: Shell) -> None:
    image = f"ghcr.io/acme/weather:2.0.0@{DIGEST}"
    answer = json.loads(shell("gitops", "pin", "--json", "--branch", "pins", "--image", image).out)

    assert [row["plugin_id"] for row in answer["changed"]] == ["again", "weather"]
    assert answer["commit"] == repo.git("rev-parse", "pins")
    assert "notes:1.0.0" in at(repo, "pins", "manifests/notes.yaml")


def test_with_an_environment_its_patch_is_pinned(repo: Repo, shell: Shell) -> None:
    words = ("--branch", "pins", "--plugin", "weather", "--version", "9", "-e", "prod")
    assert shell("gitops", "pin", *words).code == 0

    assert repo.git("diff", "--name-only", "main", "pins") == (
        "manifests/environments/prod/weather.yaml"
    )


def test_where_nothing_changes_there_is_no_commit_and_no_branch(repo: Repo, shell: Shell) -> None:
    words = ("--branch", "pins", "--plugin", "weather", "--version", "1.0.0")
    shown = shell("gitops", "pin", *words)

    assert (shown.code, shown.out) == (0, "nothing to change: 1 manifests say it already\n")
    assert repo.git("branch", "--list", "pins") == ""


def test_a_version_alone_drops_the_digest_that_was_another_versions(
    repo: Repo, shell: Shell
) -> None:
    repo.commit({"manifests/weather.yaml": manifest("weather").replace("1.0.0", f"1.0.0@{DIGEST}")})
    shown = shell("gitops", "pin", "--branch", "p", "--plugin", "weather", "--version", "1.1.0")

    assert "'ghcr.io/acme/weather:1.1.0'" in at(repo, "p")
    assert "without a digest it may come to mean another image" in shown.out


def test_a_branch_that_somebody_works_on_is_refused(
    repo: Repo, shell: Shell, tmp_path: Path
) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "other"), "-b", "theirs")
    for branch in ("main", "theirs"):
        words = ("--branch", branch, "--plugin", "weather", "--version", "2")
        shown = shell("gitops", "pin", *words)

        assert (shown.code, shown.out) == (73, "")
        assert f"[pin_conflict] branch {branch}: found it checked out" in shown.err


def test_changes_of_the_same_file_that_are_not_committed_are_refused(
    repo: Repo, shell: Shell
) -> None:
    (repo.folder / "manifests" / "weather.yaml").write_text("mine\n")
    shown = shell("gitops", "pin", "--branch", "p", "--plugin", "weather", "--version", "2")

    assert shown.code == 73
    assert "manifests/weather.yaml: found changes that are not committed" in shown.err
    assert repo.git("branch", "--list", "p") == ""


def test_a_branch_that_moved_meanwhile_is_not_moved_back(repo: Repo) -> None:
    clone = LocalClone(repo.folder)
    repo.git("branch", "pins")
    parent, exists = clone.tip("pins")
    repo.commit({"README.md": "more\n"})
    repo.git("branch", "-f", "pins", "main")

    with pytest.raises(Exception, match="update-ref"):
        clone.commit("pins", parent, {"README.md": b"x"}, "x", new=not exists)
    assert repo.git("rev-parse", "pins") == repo.head


def test_no_hook_of_the_clone_runs(repo: Repo, shell: Shell, tmp_path: Path) -> None:
    for name in ("pre-commit", "reference-transaction", "post-commit"):
        hook = repo.folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
    shell("gitops", "pin", "--branch", "p", "--plugin", "weather", "--version", "2")

    assert "weather:2'" in at(repo, "p")
    assert not (tmp_path / "ran").exists()


def test_a_bare_repository_that_came_with_a_strangers_files_is_refused(
    repo: Repo, shell: Shell, tmp_path: Path
) -> None:
    repo.git("clone", "-q", "--bare", ".", "nested")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.com")):
        repo.git("--git-dir=nested", "config", name, value)
    repo.git("--git-dir=nested", "config", "commit.gpgsign", "true")
    repo.git("--git-dir=nested", "config", "gpg.program", str(program))
    words = ("--branch", "p", "--plugin", "weather", "--version", "2")
    refused = shell("gitops", "pin", *words, "--repo", str(repo.folder / "nested"))
    own = tmp_path / "own.git"
    repo.git("clone", "-q", "--bare", ".", str(own))
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.com")):
        repo.git(f"--git-dir={own}", "config", name, value)

    assert not (tmp_path / "ran").exists()
    assert "among the files of another repository" in refused.err, refused
    assert shell("gitops", "pin", *words, "--repo", str(own)).code == 0


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--branch", "p"], 65, "pin_invalid"),
        (["--branch", "p", "--version", "2"], 65, "pin_invalid"),
        (["--branch", "p", "--image", "a:1", "--version", "2"], 65, "pin_invalid"),
        (["--branch", "p", "--image", "--upload-pack=x"], 65, "pin_invalid"),
        (["--branch", "p", "--image", "a:1\nkind: x"], 65, "pin_invalid"),
        (["--branch", "p", "--image", "ghcr.io/acme/weather"], 65, "pin_invalid"),
        (["--branch", "p", "--plugin", "weather", "--version", "2: x"], 65, "pin_invalid"),
        (["--branch", "p", "--plugin", "weather", "--digest", "sha256:1"], 65, "pin_invalid"),
        (["--branch", "p", "--plugin", "nobody", "--version", "2"], 66, "nothing_to_pin"),
        (["--branch=-f", "--plugin", "weather", "--version", "2"], 65, "git_ref_refused"),
        (["--branch", "a..b", "--plugin", "weather", "--version", "2"], 65, "git_ref_refused"),
        (["--branch", "p", "--path", "../x", "--image", "a:1"], 65, "git_path_refused"),
        (["--branch", "p", "-e", "../..", "--image", "a:1"], 65, "git_path_refused"),
    ],
)
def test_what_means_nothing_or_something_else_to_git_is_refused(
    repo: Repo, shell: Shell, words: list[str], code: int, error: str
) -> None:
    before = repo.git("for-each-ref")
    shown = shell("gitops", "pin", *words)

    assert (shown.code, shown.out) == (code, "")
    assert f"[{error}]" in shown.err
    assert repo.git("for-each-ref") == before


def test_a_folder_that_is_no_clone_is_told(shell: Shell, tmp_path: Path) -> None:
    words = ("--repo", str(tmp_path), "--branch", "p", "--image", "a:1")
    shown = shell("gitops", "pin", *words)

    assert shown.code == 69
    assert "not a git repository" in shown.err


# -- pure -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a", "", "")),
        ("a:1", ("a", "1", "")),
        ("localhost:5000/a", ("localhost:5000/a", "", "")),
        ("localhost:5000/a:1", ("localhost:5000/a", "1", "")),
        (f"ghcr.io/acme/a:1.2.3-rc.1@{DIGEST}", ("ghcr.io/acme/a", "1.2.3-rc.1", DIGEST)),
        (f"a@{DIGEST}", ("a", "", DIGEST)),
    ],
)
def test_an_image_is_read_in_its_parts_and_written_as_it_was(
    text: str, parts: tuple[str, str, str]
) -> None:
    image = Image.of(text)

    assert (image.repository, image.tag, image.digest) == parts
    assert str(image) == text


@pytest.mark.parametrize(
    "text", ["", ":1", "a:", "a@", "A", "a b", "a:1@sha256:1", "-a", "a//b", "a:1:2", "a" * 600]
)
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(PinInvalid):
        Image.of(text)


def test_a_wrong_file_keeps_no_other_back_but_the_one_that_is_meant() -> None:
    files = {"a.yaml": b"a: [", "b.yaml": manifest("weather").encode()}
    [one] = pinned(files, Pin(plugin="weather", version="2"))[0]

    assert one.new == "ghcr.io/acme/weather:2"
    with pytest.raises(Exception, match="broken YAML"):
        pinned({"a.yaml": b"name: weather\na: ["}, Pin(plugin="weather", version="2"))


def test_what_is_built_has_no_image_to_pin() -> None:
    text = manifest("weather").replace("image: 'ghcr.io/acme/weather:1.0.0'", "build: weather")

    with pytest.raises(NothingToPin, match="has no image to pin"):
        pinned({"a.yaml": text.encode()}, Pin(plugin="weather", version="2"))
