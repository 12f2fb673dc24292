"""Writing a commit's files: what is honest arrives whole, what is hostile does not arrive."""

import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.gitops.entries import (
    GitTreeRefused,
    TreeBounds,
    TreeEntry,
    check_entries,
    parse_listing,
)
from orchestrator.gitops.git import GitFailed
from orchestrator.gitops.links import MAX_LEFT_OUT
from orchestrator.gitops.repository import GitUnreachable
from orchestrator.gitops.tree import GitTrees, GitUnwritable
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader, make_reader

SHA = "a" * 40


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }


async def test_files_arrive_as_git_holds_them(reader: Reader, repo: Repo) -> None:
    repo.write({"run.sh": "#!/bin/sh\r\n", "a/b/c.txt": "ä\n", "empty": ""})
    (repo.folder / "run.sh").chmod(0o755)
    repo.commit({".gitattributes": "* text eol=lf ident filter=lfs export-ignore\n"})

    tree = await reader.read(repo.url)

    assert files_of(tree.folder) == {
        ".gitattributes": "* text eol=lf ident filter=lfs export-ignore\n",
        "run.sh": "#!/bin/sh\n",
        "a/b/c.txt": "ä\n",
        "empty": "",
    }
    assert (tree.folder / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (tree.folder / "empty").stat().st_mode & stat.S_IXUSR


async def test_a_tree_that_is_there_is_not_written_again(reader: Reader, repo: Repo) -> None:
    repo.commit({"a": "1"})
    first = await reader.read(repo.url)
    (first.folder / "mark").write_text("")

    assert (await reader.read(repo.url)) == first
    assert (first.folder / "mark").exists()


async def test_what_was_half_written_by_a_killed_daemon_is_written_whole(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    sha = repo.commit({"a": "1"})
    (tmp_path / "trees" / f".new-{sha}" / "a").mkdir(parents=True)

    tree = await reader.read(repo.url)

    assert files_of(tree.folder) == {"a": "1"}
    assert {path.name for path in (tmp_path / "trees").iterdir()} == {sha, f"{sha}.json"}


async def test_what_was_written_before_the_machine_was_started_anew_is_written_again(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    sha = repo.commit({"a": "1"})
    await reader.read(repo.url)
    (tmp_path / "trees" / sha / "a").write_text("")  # a crash, with the content not on disk
    later = GitTrees(reader.repository, tmp_path / "trees", boot_id="next")

    assert later.find(sha) is None
    assert files_of((await later.write(sha)).folder) == {"a": "1"}
    assert later.find(sha) is not None
    shutil.rmtree(tmp_path / "repository")
    last = GitTrees(reader.repository, tmp_path / "trees", boot_id="last")
    assert files_of((await last.write(sha)).folder) == {"a": "1"}  # git holds it no more


async def test_links_inside_the_tree_are_kept(reader: Reader, repo: Repo) -> None:
    repo.write({"docs/LICENSE": "free"})
    (repo.folder / "plugin").mkdir()
    (repo.folder / "plugin" / "LICENSE").symlink_to("../docs/LICENSE")
    (repo.folder / "same").symlink_to("plugin")
    repo.commit()

    tree = await reader.read(repo.url)

    assert (tree.folder / "plugin" / "LICENSE").readlink() == Path("../docs/LICENSE")
    assert (tree.folder / "same" / "LICENSE").read_text() == "free"


@pytest.mark.parametrize(
    "links",
    [
        {"l": "/etc/passwd"},
        {"l": "../outside"},
        {"l": "l"},
        {"d/l": "../.."},
        {"d/up": "..", "d/l": "up/../.."},
        {"l": ""},
        {"l": "/proc/self/root"},
    ],
)
async def test_a_link_out_of_the_tree_refuses_all_of_it(
    reader: Reader, repo: Repo, links: Mapping[str, str], tmp_path: Path
) -> None:
    repo.commit({"d/file": "1"})
    (tmp_path / "outside").write_text("")
    for path, target in links.items():
        sha = repo.blob(target)
        repo.git("update-index", "--add", "--cacheinfo", f"120000,{sha},{path}")
    repo.git("commit", "-q", "-m", "links")

    with pytest.raises(GitTreeRefused, match="expected one to something in the repository"):
        await reader.read(repo.url)

    assert not any((tmp_path / "trees").iterdir())


async def test_a_link_to_nothing_is_left_out_and_the_rest_is_there(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    repo.commit({"d/file": "1"})
    links = {"l": "nowhere", "d/far": "../nowhere/below", "through": "l", "good": "d/file"}
    for path, target in links.items():
        repo.git("update-index", "--add", "--cacheinfo", f"120000,{repo.blob(target)},{path}")
    repo.git("commit", "-q", "-m", "links")
    tree = await reader.read(repo.url)

    assert {*tree.lost_links} == {"l", "d/far", "through"}
    assert (tree.folder / "good").read_text() == "1"
    assert not any((tree.folder / path).is_symlink() for path in tree.lost_links)
    again = reader.trees.find(tree.sha)
    assert again == tree


async def test_links_to_nothing_are_few(reader: Reader, repo: Repo, tmp_path: Path) -> None:
    repo.commit({"file": "1"})
    sha = repo.blob("nowhere")
    rows = "".join(f"120000 {sha}\tl{number}\n" for number in range(MAX_LEFT_OUT + 1))
    repo.git("update-index", "--index-info", stdin=rows)
    repo.git("commit", "-q", "-m", "links")

    with pytest.raises(GitTreeRefused, match="more than 100 links to nothing"):
        await reader.read(repo.url)
    assert not any((tmp_path / "trees").iterdir())


async def test_nothing_is_written_through_a_link(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    """A link and a folder of one name: git's own bug of 2024."""
    repo.commit({"x": "1"})
    inner = repo.tree({"file": ("100644", repo.blob("owned"))})
    rows = {"a": ("120000", repo.blob(str(tmp_path / "target"))), "A": ("40000", inner)}
    (tmp_path / "target").mkdir()
    sha = repo._tree(rows)
    body = bytes.fromhex(inner)
    twice = repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin",
        stdin=b"120000 a\0" + bytes.fromhex(rows["a"][1]) + b"40000 a\0" + body)  # fmt: skip
    for tree in (sha, twice):
        repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", tree, "-m", "x"))
        with pytest.raises((GitTreeRefused, GitUnreachable)):
            await reader.read(repo.url)

    assert not any((tmp_path / "target").iterdir())


@pytest.mark.parametrize(
    "name", [".git", ".GIT", ".git ", "git~1", "..", ".", ".git.", ".git::$INDEX_ALLOCATION"]
)
async def test_names_that_git_uses_or_that_lead_up_do_not_arrive(
    reader: Reader, repo: Repo, name: str, tmp_path: Path
) -> None:
    repo.commit({"x": "1"})
    inner = repo.tree({"config": ("100644", repo.blob("[core]\n fsmonitor = touch owned\n"))})
    repo.raw_commit({name: ("40000", inner)})

    with pytest.raises((GitTreeRefused, GitUnreachable)):
        await reader.read(repo.url)

    assert not any((tmp_path / "trees").glob("*"))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (("x/.git/config", "100644", 1), "git itself"),
        (("a/GIT~1", "100644", 1), "git itself"),
        (("a/../b", "100644", 1), "elsewhere"),
        (("a//b", "100644", 1), "elsewhere"),
        (("/etc/passwd", "100644", 1), "elsewhere"),
        (("a\\b", "100644", 1), "backslash"),
        (("a\nb", "100644", 1), "control"),
        (("a\x1b[31m", "100644", 1), "control"),
        (("n" * 300, "100644", 1), "too long"),
        (("a/" * 70 + "b", "100644", 1), "too deep"),
        (("\N{SNOWMAN}" * 80 + "/" + "\N{SNOWMAN}" * 80 + "/b" * 300, "100644", 1), "too long"),
        (("/".join(["\N{SNOWMAN}" * 80] * 5), "100644", 1), "too long"),
        (("device", "060000", 1), "mode 060000"),
        (("setuid", "104755", 1), "mode 104755"),
        (("l", "120000", 5_000), "too long a link"),
    ],
)
def test_each_name_is_checked_by_ourselves_too(entry: tuple[str, str, int], reason: str) -> None:
    """Git's own check is the first one; this is the one that we can vouch for."""
    path, mode, size = entry
    with pytest.raises(GitTreeRefused, match=reason):
        check_entries(
            SHA, [TreeEntry(path=path, mode=mode, sha=SHA, size_bytes=size)], TreeBounds()
        )


def test_a_name_that_comes_twice_is_refused() -> None:
    twin = TreeEntry(path="a", mode="100644", sha=SHA, size_bytes=1)
    with pytest.raises(GitTreeRefused, match="twice"):
        check_entries(SHA, [twin, twin], TreeBounds())


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(GitTreeRefused, match="UTF-8"):
        parse_listing(b"100644 blob " + SHA.encode() + b"       1\t\xff\xfe\0")


async def test_more_files_or_bytes_than_allowed_are_refused_unread(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit({f"f{number}": "x" * 100 for number in range(30)})
    many = make_reader(tmp_path / "1", trees=TreeBounds(max_files=20))
    much = make_reader(tmp_path / "2", trees=TreeBounds(max_bytes=2_000))

    with pytest.raises(GitTreeRefused, match="expected at most 20"):
        await many.read(repo.url)
    with pytest.raises(GitTreeRefused, match="expected at most 2000"):
        await much.read(repo.url)


async def test_a_bomb_of_trees_in_trees_is_refused_soon(reader: Reader, repo: Repo) -> None:
    """Ten names in each of ten levels: ten thousand million files in a few hundred bytes."""
    repo.commit({"x": "1"})
    rows = {f"f{number}": ("100644", repo.blob("boom")) for number in range(10)}
    for _ in range(10):
        tree = repo.tree(rows)
        rows = {f"d{number}": ("40000", tree) for number in range(10)}
    repo.raw_commit(rows)

    with pytest.raises(GitTreeRefused, match="more than"):
        await reader.read(repo.url)


async def test_submodules_are_left_out_and_named(reader: Reader, repo: Repo) -> None:
    sha = repo.commit({".gitmodules": '[submodule "x"]\n path = x\n url = https://x.example/x\n'})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{sha},x")
    repo.git("commit", "-q", "-m", "submodule")

    tree = await reader.read(repo.url)

    assert tree.submodules == ("x",)
    assert not (tree.folder / "x").exists()


async def test_a_submodule_that_would_run_a_command_does_not_arrive(
    reader: Reader, repo: Repo
) -> None:
    repo.commit({".gitmodules": '[submodule "x"]\n path = x\n url = -u./payload\n'})

    with pytest.raises(GitUnreachable, match="gitmodulesUrl"):
        await reader.read(repo.url)


async def test_pointers_of_lfs_are_told(reader: Reader, repo: Repo) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    repo.commit({"model.bin": pointer, "other": "1"})

    assert (await reader.read(repo.url)).lfs_pointers == ("model.bin",)
    assert (await reader.read(repo.url)).lfs_pointers == ("model.bin",)


async def test_a_disk_that_takes_nothing_is_told_and_leaves_nothing_half(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    repo.commit({"x": "1"})
    (tmp_path / "trees").write_text("in the way")

    with pytest.raises(GitUnwritable):
        await reader.read(repo.url)


async def test_a_commit_that_was_not_fetched_has_no_tree(reader: Reader, repo: Repo) -> None:
    repo.commit({"x": "1"})
    await reader.fetch(repo.url)

    with pytest.raises(GitFailed):
        await reader.trees.write(SHA)
