"""Fetching from real repositories, of friends and of strangers."""

import contextlib
import os
import stat
from pathlib import Path

import pytest

from orchestrator.gitops.git import (
    Git,
    GitBounds,
    GitCredentials,
    GitFailed,
    GitMissing,
    GitOutputTooLarge,
    GitTimedOut,
)
from orchestrator.gitops.repository import GitRefNotFound, GitUnreachable, parse_commit
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader, make_reader


async def test_a_branch_is_its_newest_commit(reader: Reader, repo: Repo) -> None:
    repo.commit({"a.yaml": "1"}, subject="First")
    sha = repo.commit({"a.yaml": "2"}, subject="Second\n\nmore")

    commit = await reader.fetch(repo.url)

    assert (commit.sha, commit.subject, commit.author) == (sha, "Second", "Ada <ada@example.com>")
    assert commit.tag == ""
    assert abs(commit.at - int(repo.git("log", "-1", "--format=%ct"))) < 1


async def test_tags_commit_ids_and_full_refs_are_revisions_too(reader: Reader, repo: Repo) -> None:
    first = repo.commit({"a": "1"})
    repo.git("tag", "plain")
    repo.git("tag", "-a", "-m", "words", "noted")
    repo.commit({"a": "2"})

    assert (await reader.fetch(repo.url, "plain")).sha == first
    noted = await reader.fetch(repo.url, "noted")
    assert (noted.sha, noted.tag) == (first, repo.git("rev-parse", "noted"))
    assert (await reader.fetch(repo.url, first)).sha == first
    assert (await reader.fetch(repo.url, "refs/tags/plain")).sha == first


async def test_a_branch_wins_over_a_tag_of_its_name(reader: Reader, repo: Repo) -> None:
    repo.commit({"a": "1"})
    repo.git("tag", "main")
    newest = repo.commit({"a": "2"})

    assert (await reader.fetch(repo.url)).sha == newest


async def test_bare_repositories_and_file_urls_work(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    sha = repo.commit({"a": "1"})
    repo.git("clone", "-q", "--bare", repo.url, str(tmp_path / "bare.git"))

    assert (await reader.fetch(str(tmp_path / "bare.git"))).sha == sha
    assert (await reader.fetch(f"file://{tmp_path}/bare.git")).sha == sha


async def test_sha256_repositories_work(reader: Reader, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "long", object_format="sha256")
    sha = repo.commit({"a": "1"})

    tree = await reader.read(repo.url)

    assert (tree.sha, len(sha)) == (sha, 64)
    assert (tree.folder / "a").read_text() == "1"


async def test_a_rewritten_branch_is_followed(reader: Reader, repo: Repo) -> None:
    repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    await reader.fetch(repo.url)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    sha = repo.commit({"a": "3"})

    assert (await reader.fetch(repo.url)).sha == sha


async def test_a_branch_that_is_gone_is_named(reader: Reader, repo: Repo) -> None:
    repo.commit({"a": "1"})
    repo.git("branch", "prod")
    await reader.fetch(repo.url, "prod")
    repo.git("branch", "-D", "prod")

    with pytest.raises(GitRefNotFound, match="prod"):
        await reader.fetch(repo.url, "prod")


async def test_a_remote_that_is_not_there_is_unreachable(reader: Reader, tmp_path: Path) -> None:
    for url in (str(tmp_path / "nothing"), "http://127.0.0.1:1/x.git"):
        with pytest.raises(GitUnreachable):
            await reader.fetch(url)


async def test_another_remote_shares_nothing_with_the_one_before(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    secret = repo.commit({"secret": "1"})
    await reader.fetch(repo.url)
    other = Repo(tmp_path / "other")
    sha = other.commit({"a": "1"})
    await reader.fetch(other.url)

    with pytest.raises(GitFailed):
        await reader.repository.run(["cat-file", "-e", secret], of=sha)


async def test_a_cache_that_grew_too_large_begins_anew(repo: Repo, tmp_path: Path) -> None:
    reader = make_reader(tmp_path)
    repo.commit({"a": "1"})
    await reader.fetch(repo.url)
    junk = tmp_path / "repository" / "sha1" / "objects" / "junk"
    junk.write_bytes(b"")
    os.truncate(junk, 2 << 30)

    await reader.fetch(repo.url)

    assert not junk.exists()


# -- hostile remotes -------------------------------------------------------------------------------


async def test_no_hook_of_the_remote_or_of_a_template_runs(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    repo.commit({"a": "1"})
    owned = tmp_path / "owned"
    for name in ("post-checkout", "pre-upload", "reference-transaction", "post-merge"):
        hook = repo.folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {owned}\n")
        hook.chmod(0o755)

    await reader.read(repo.url)

    assert not owned.exists()


async def test_no_hook_of_our_own_cache_runs_either(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    repo.commit({"a": "1"})
    await reader.fetch(repo.url)
    hook = tmp_path / "repository" / "sha1" / "hooks" / "reference-transaction"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    hook.chmod(0o755)
    repo.commit({"a": "2"})
    await reader.fetch(repo.url)

    assert not (tmp_path / "owned").exists()


async def test_settings_of_the_remote_run_nothing(
    reader: Reader, repo: Repo, tmp_path: Path
) -> None:
    owned = tmp_path / "owned"
    repo.commit({"a": "1", ".gitattributes": "* filter=evil diff=evil\n"})
    for setting in (
        "core.fsmonitor",
        "core.sshCommand",
        "filter.evil.smudge",
        "filter.evil.process",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "diff.evil.textconv",
    ):
        repo.git("config", setting, f"touch {owned}")

    tree = await reader.read(repo.url)

    assert (tree.folder / "a").read_text() == "1"
    assert not owned.exists()


async def test_settings_of_the_user_and_of_variables_are_not_read(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"a": "1"})
    home = tmp_path / "user"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{tmp_path}/elsewhere"]\n  insteadOf = {repo.url}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")

    commit = await make_reader(tmp_path).fetch(repo.url)

    assert commit.sha == repo.head


@pytest.mark.parametrize("url", ["ext::sh -c 'touch owned'", "fd::0"])
async def test_git_itself_refuses_protocols_that_run_commands(
    reader: Reader, url: str, tmp_path: Path
) -> None:
    with pytest.raises(GitFailed, match="not allowed"):
        await reader.git.run(["ls-remote", "--end-of-options", url])

    assert not (tmp_path / "home" / "owned").exists()


async def test_a_ref_of_another_kind_than_a_commit_is_refused(reader: Reader, repo: Repo) -> None:
    repo.commit({"a": "1"})
    repo.git("tag", "blob", repo.blob("no commit"))

    with pytest.raises(GitRefNotFound, match="something else than a commit"):
        await reader.fetch(repo.url, "blob")


async def test_a_remote_with_more_than_a_pack_may_hold_is_cut_off(
    repo: Repo, tmp_path: Path
) -> None:
    (repo.folder / "noise").write_bytes(os.urandom(4 << 20))
    repo.commit()
    reader = make_reader(tmp_path, bounds=GitBounds(file_bytes=1 << 20))

    with pytest.raises(GitUnreachable):
        await reader.fetch(repo.url)

    files = [f for f in (tmp_path / "repository").rglob("*") if f.is_file()]
    assert sum(file.stat().st_size for file in files) < 2 << 20


# -- the bounds of one run -------------------------------------------------------------------------


async def test_a_run_that_does_not_end_is_killed_with_its_children(
    reader: Reader, tmp_path: Path
) -> None:
    mark = f"37{os.getpid()}"
    with pytest.raises(GitTimedOut, match="hang"):
        await reader.git.run(["hang"], settings=[f"alias.hang=!sleep {mark}; :"], seconds=0.5)

    assert not [line for line in _command_lines() if b"sleep\0" + mark.encode() in line]


def _command_lines() -> list[bytes]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return found


async def test_a_run_that_says_too_much_is_killed(reader: Reader) -> None:
    with pytest.raises(GitOutputTooLarge):
        await reader.git.run(["flood"], settings=["alias.flood=!yes"], max_bytes=10_000)


async def test_what_git_says_steers_no_terminal(reader: Reader) -> None:
    with pytest.raises(GitFailed) as failed:
        await reader.git.run(["say"], settings=["alias.say=!printf '\\033[31mred\\n' >&2; exit 3"])

    assert (failed.value.exit_code, failed.value.words) == (3, "red")


async def test_a_machine_without_git_says_so(tmp_path: Path) -> None:
    git = Git(home=tmp_path, environment={"PATH": str(tmp_path)})

    with pytest.raises(GitMissing):
        await git.run(["version"])


def test_git_sees_no_more_of_the_world_than_it_needs(tmp_path: Path) -> None:
    mine = {"PATH": "/bin", "HOME": "/root", "GIT_DIR": "/x", "SECRET": "x", "NO_PROXY": "a"}
    environment = Git(home=tmp_path, environment=mine).environment()

    assert {"PATH": "/bin", "NO_PROXY": "a", "HOME": str(tmp_path)}.items() <= environment.items()
    assert environment["GIT_CONFIG_GLOBAL"] == environment["GIT_CONFIG_SYSTEM"] == "/dev/null"
    assert environment["GIT_CONFIG_NOSYSTEM"] == "1"
    assert not {"GIT_DIR", "SECRET"} & environment.keys()


def test_the_token_is_on_no_command_line_and_in_no_text(reader: Reader) -> None:
    credentials = GitCredentials(token="hunter2")  # noqa: S106 - of a test
    environment = reader.git.environment(credentials)

    assert "hunter2" not in repr(credentials)
    assert environment["GIT_CONFIG_KEY_0"] == "http.extraHeader"
    assert "GIT_CONFIG_COUNT" not in reader.git.environment()
    assert "hunter2" not in "".join(reader.git._argv(["x"], []))


async def test_a_key_for_ssh_is_used_alone_and_hosts_must_be_known(
    tmp_path: Path, reader: Reader
) -> None:
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\nexit 1\n')
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    git = Git(home=tmp_path, environment={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    key = tmp_path / "it's a key"
    credentials = GitCredentials(ssh_key_file=key, known_hosts_file=tmp_path / "hosts")

    with pytest.raises(GitFailed):
        await git.run(["ls-remote", "git@git.example.com:x"], credentials=credentials)

    said = (tmp_path / "said").read_text().splitlines()
    assert str(key) in said
    assert {"StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "BatchMode=yes"} <= {*said}
    assert f"UserKnownHostsFile={tmp_path}/hosts" in said


def test_a_commit_says_of_itself_what_it_likes() -> None:
    raw = b"tree x\nauthor \x1b[31mEve <e@x> y z\ncommitter x\nauthor other\n\n\x1b]0;x\x07Hi\nmore"

    commit = parse_commit("a" * 40, raw)

    assert "\x1b" not in commit.author + commit.subject
    assert commit.at == 0.0


async def test_a_run_that_does_not_read_what_it_is_given_is_no_failure_of_ours(
    reader: Reader,
) -> None:
    for _ in range(20):
        alias = "alias.deaf=!exec <&-; echo said; :"
        assert await reader.git.run(["deaf"], settings=[alias], stdin=b"x" * 300_000) == b"said\n"
