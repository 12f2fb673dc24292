"""Manifests of a stranger: what they may name, and how what is wrong with them is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gitops.entries import GitTreeRefused
from orchestrator.gitops.reading import (
    MAX_MANIFESTS,
    GitRevisionEmpty,
    Reading,
    fingerprint,
    is_passing,
    read_tree,
)
from orchestrator.gitops.tree import GitTree
from orchestrator.model.git import GitSource
from orchestrator.store.base import StoreUnavailable

SHA = "c0ffee" * 6 + "beef"
MANIFEST = """\
apiVersion: orchestrator/v1
kind: Plugin
metadata:
  name: {name}
spec:
  source:
    {source}
"""


def read(folder: Path, texts: dict[str, str], **fields: object) -> Reading:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    pointers = tuple(p for p, text in texts.items() if text.startswith("version https://git-lfs"))
    tree = GitTree(sha=SHA, folder=folder, lfs_pointers=pointers)
    return read_tree(tree, GitSource.model_validate({"url": "/x", **fields}, strict=False))


def manifest(name: str, source: str = "image: x", more: str = "") -> str:
    return MANIFEST.format(name=name, source=source) + more


def test_every_manifest_of_the_folder_is_read_and_nothing_else(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        {
            "manifests/one.yaml": manifest("one"),
            "manifests/two.yml": manifest("two"),
            "manifests/README.md": "words",
            "manifests/.hidden.yaml": "words",
            "manifests/deeper/three.yaml": manifest("three"),
            "four.yaml": manifest("four"),
        },
    )

    assert sorted(reading.manifests) == ["manifests/one.yaml", "manifests/two.yml"]
    assert reading.troubles == ()


def test_the_root_itself_may_be_the_folder(tmp_path: Path) -> None:
    assert [*read(tmp_path, {"one.yaml": manifest("one")}, path="").manifests] == ["one.yaml"]


def test_a_bad_file_is_named_with_commit_and_line(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        {"manifests/one.yaml": manifest("one"), "manifests/two.yaml": manifest("two", "imgae: x")},
    )

    assert [*reading.manifests] == ["manifests/one.yaml"]
    [trouble] = reading.troubles
    assert trouble.file == "manifests/two.yaml"
    assert f"commit {SHA[:12]}: manifests/two.yaml:7: spec.source.imgae: found" in trouble.words
    assert str(tmp_path) not in trouble.words


def test_more_manifests_than_a_machine_runs_are_refused_unread(tmp_path: Path) -> None:
    files = {f"manifests/{n}.yaml": "oops" for n in range(MAX_MANIFESTS + 1)}
    with pytest.raises(GitTreeRefused, match=f"found {MAX_MANIFESTS + 1} manifests"):
        read(tmp_path / "tree", files)
    files = {"manifests/one.yaml": "oops"}
    files |= {f"manifests/environments/prod/{n}.yaml": "oops" for n in range(MAX_MANIFESTS)}
    with pytest.raises(GitTreeRefused, match=f"found {MAX_MANIFESTS + 1} manifests"):
        read(tmp_path / "other", files, environment="prod")


def test_no_manifest_at_all_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    for path in ("manifests", "nowhere"):
        with pytest.raises(GitRevisionEmpty, match="nothing was removed"):
            read(tmp_path, {}, path=path)


SECRET_OF = "  secrets:\n    key: {{file: {file}}}\n"  # noqa: S105 - a field
INJECT = '  inject:\n    "api.example.com:443": {{file: {file}}}\n'


@pytest.mark.parametrize("file", ["/etc/shadow", "../../outside", "../link", "/allowed/../etc/x"])
@pytest.mark.parametrize("field", [SECRET_OF, INJECT])
def test_a_manifest_names_no_file_of_this_machine(tmp_path: Path, file: str, field: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "outside").write_text("host's")
    (tmp_path / "tree" / "link").symlink_to("/etc/hostname")
    text = manifest("one", more=field.format(file=file))
    reading = read(tmp_path / "tree", {"manifests/one.yaml": text}, files=["/allowed"])

    [trouble] = reading.troubles
    assert "expected a file of the repository, or below one of git.files" in trouble.words


def test_it_names_files_of_the_repository_and_of_folders_that_the_operator_allows(
    tmp_path: Path,
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    one = manifest("one", more=SECRET_OF.format(file=f"{allowed}/token"))
    two = manifest("two", more=SECRET_OF.format(file="../public/word"))
    files = {"manifests/one.yaml": one, "manifests/two.yaml": two, "public/word": "x"}

    assert read(tmp_path / "tree", files, files=[str(allowed)]).troubles == ()


@pytest.mark.parametrize("build", ["/etc", "../..", "../../other"])
def test_nothing_is_built_from_folders_of_this_machine(tmp_path: Path, build: str) -> None:
    (tmp_path / "other").mkdir()
    text = manifest("one", f"build: {build}")
    [trouble] = read(tmp_path / "tree", {"manifests/one.yaml": text}).troubles

    assert "spec.source.build: found" in trouble.words
    assert "expected a folder of the repository" in trouble.words


def test_a_folder_with_a_pointer_to_lfs_is_not_built(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    files = {
        "manifests/one.yaml": manifest("one", "build: ../plugins/one"),
        "manifests/two.yaml": manifest("two", "build: ../plugins/two"),
        "plugins/one/model.bin": pointer,
        "plugins/two/plugin.yaml": "x",
    }
    reading = read(tmp_path, files)

    assert [*reading.manifests] == ["manifests/two.yaml"]
    assert "a pointer to LFS in plugins/one/model.bin" in reading.troubles[0].words


def test_a_fingerprint_is_of_what_is_wanted_and_not_of_where_it_lies(make: Any) -> None:
    inputs = make.deployment().inputs
    elsewhere = replace(inputs, origin="/other/place.yaml", build_folder="/other")

    assert fingerprint(inputs) == fingerprint(elsewhere)
    assert fingerprint(inputs) != fingerprint(replace(inputs, image="other"))


def test_what_may_pass_is_told_from_what_may_not() -> None:
    assert is_passing(StoreUnavailable("full"))
    assert not is_passing(GitRevisionEmpty("empty"))


def lost(folder: Path, texts: dict[str, str], *links: str, **fields: object) -> Reading:
    """A commit whose links to nothing were left out."""
    tree = read(folder, texts, **fields).tree
    source = GitSource.model_validate({"url": "/x", **fields}, strict=False)
    return read_tree(replace(tree, lost_links=links), source)


def test_a_link_to_nothing_concerns_only_the_plugin_that_would_be_built_from_its_folder(
    tmp_path: Path,
) -> None:
    texts = {
        "manifests/one.yaml": manifest("one", "build: ../plugins/one"),
        "manifests/two.yaml": manifest("two", "build: ../plugins/two"),
        "plugins/one/a": "1",
        "plugins/two/a": "1",
    }
    reading = lost(tmp_path, texts, "docs/old", "plugins/one/deep/er", "manifests/notes.md")

    assert [*reading.manifests] == ["manifests/two.yaml"]
    [trouble] = reading.troubles
    assert "spec.source.build: found a link to nothing in plugins/one/deep/er" in trouble.words


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("manifests/gone.yaml", "manifests"),
        ("gone.json", ""),
        ("manifests/environments", "manifests"),
        ("manifests/environments/prod", "manifests"),
        ("manifests/environments/prod/one.yaml", "manifests"),
        ("environments/prod", ""),
    ],
)
def test_a_manifest_that_is_a_link_to_nothing_is_not_taken_for_one_that_is_gone(
    tmp_path: Path, link: str, path: str
) -> None:
    texts = {f"{path}/one.yaml".lstrip("/"): manifest("one")}
    with pytest.raises(GitTreeRefused, match="found a link to nothing"):
        lost(tmp_path, texts, link, path=path)
