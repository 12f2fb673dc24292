"""ssh: a real sshd on loopback, whose host key must be known and which lets one key in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.gitops.repository import GitUnreachable
from orchestrator.model.git import GitSource
from orchestrator.model.secret_source import SecretFile
from tests.support.git import Repo
from tests.support.sshd import Sshd, make_key, sshd_on
from tests.unit.gitops.conftest import Reader
from tests.unit.gitops.test_remote import remote_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_on(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def source_of(server: Sshd, repo: Repo, **fields: object) -> GitSource:
    url = f"ssh://{server.user}@127.0.0.1:{server.port}{repo.folder}"
    given = {
        "ssh_key": SecretFile(file=str(server.client_key)),
        "known_hosts": str(server.known_hosts),
        **fields,
    }
    return GitSource.model_validate({"url": url, **given})


async def test_the_key_of_the_settings_lets_us_in_and_is_gone_from_memory_after(
    reader: Reader, repo: Repo, tmp_path: Path, server: Sshd
) -> None:
    sha = repo.commit({"a": "1"})
    remote, source = remote_of(reader, tmp_path), source_of(server, repo)
    commit, tree = await remote.fetch(source, await remote.look(source))

    assert (commit.sha, (tree.folder / "a").read_text()) == (sha, "1")
    assert not (tmp_path / "keys").exists()


async def test_without_a_key_or_with_another_nobody_is_let_in(
    reader: Reader, repo: Repo, tmp_path: Path, server: Sshd
) -> None:
    repo.commit({"a": "1"})
    other = make_key(tmp_path / "other")
    for key in (None, SecretFile(file=str(other))):
        with pytest.raises(GitUnreachable, match="Permission denied"):
            await remote_of(reader, tmp_path).look(source_of(server, repo, ssh_key=key))
        assert not (tmp_path / "keys").exists()


async def test_a_host_that_is_not_known_gets_to_see_no_key(
    reader: Reader, repo: Repo, tmp_path: Path, server: Sshd
) -> None:
    repo.commit({"a": "1"})
    nobody, wrong = tmp_path / "nobody", tmp_path / "wrong"
    nobody.write_text("")
    public = make_key(tmp_path / "elsewhere").with_suffix(".pub").read_text()
    wrong.write_text(f"[127.0.0.1]:{server.port} {public}")
    for known in (nobody, wrong):
        with pytest.raises(GitUnreachable, match="Host key verification failed"):
            await remote_of(reader, tmp_path).look(source_of(server, repo, known_hosts=str(known)))
