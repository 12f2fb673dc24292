"""A followed repository with environments, and with secrets that it holds encrypted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

from orchestrator.gitops.reading import read_tree
from orchestrator.model.environments import EnvironmentUnknown
from orchestrator.model.git import GitSource
from tests.unit.gitops.conftest import Reader
from tests.unit.gitops.house import GitHouse


def patch(house: GitHouse, name: str, **spec: Any) -> Path:
    file = house.manifests / "environments" / "prod" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    base = yaml.safe_load((house.manifests / f"{name}.yaml").read_text())
    file.write_text(yaml.safe_dump({**base, "spec": spec}))
    return file


def memory(house: GitHouse, name: str) -> int:
    return house.daemon.manager.deployment(name).compiled.spec.memory_bytes >> 20


async def test_a_commit_to_a_patch_is_deployed_and_a_broken_one_keeps_its_plugin_back(
    house: GitHouse,
) -> None:
    for name in ("one", "two"):
        house.plugin(name)
    patch(house, "one", limits={"max_memory_mb": 40})
    first = house.repo.commit()
    async with house.follows(environment="prod"):
        await house.synced(first)
        before = memory(house, "one"), memory(house, "two")
        patch(house, "one", limits={"max_memory_mb": 48})
        second = house.push("More")
        await house.synced(second)
        after = memory(house, "one"), memory(house, "two")
        patch(house, "one").write_text("spec: [oops\n")
        house.plugin("one", version="1.1.0")
        third = house.push("Broken")
        await house.synced(third)
        await house.all_run()

        assert house.status.environment == "prod"
        assert (before, after) == ((40, 32), (48, 32))
        assert (memory(house, "one"), house.version("one")) == (48, "1.0.0")
        assert any(
            f"commit {third[:12]}: manifests/environments/prod/one.yaml:" in words
            for words in house.status.reasons
        )


async def test_an_environment_that_the_commit_does_not_have_is_told(
    house: GitHouse, reader: Reader
) -> None:
    house.plugin("one")
    house.repo.commit()
    tree = await reader.read(house.repo.url)
    source = GitSource(url=house.repo.url, environment="prod")

    with pytest.raises(EnvironmentUnknown, match="found 'prod'"):
        read_tree(tree, source)


# -- secrets ----------------------------------------------------------------------------------


@pytest.fixture
def identity(house: GitHouse, tmp_path: Path) -> Iterator[pyrage.x25519.Identity]:
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "age.key"
    key.touch(mode=0o600)
    key.write_text(str(identity))
    house.settings = replace(house.settings, age_key_file=key)
    return identity


async def test_an_encrypted_value_that_a_commit_changes_makes_just_its_user_anew(
    house: GitHouse, identity: pyrage.x25519.Identity
) -> None:
    def seal(value: bytes) -> None:
        sealed = pyrage.encrypt(value, [identity.to_public()], armored=True)
        (house.manifests / "token.age").write_bytes(sealed)

    def digest(name: str) -> str:
        return house.daemon.manager.deployment(name).compiled.digest

    house.plugin("user", secrets=["token"], spec={"secrets": {"token": {"age": "token.age"}}})
    house.plugin("other")
    seal(b"0ld-and-s3cret")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        await house.all_run()
        before = digest("user"), digest("other")
        seal(b"n3w-and-s3cret")
        second = house.push("Rotate")
        await house.synced(second)
        await house.all_run()
        after = digest("user"), digest("other")
        folder = Path(house.daemon.manager.deployment("user").compiled.secrets_folder)
        delivered = (folder / "token").read_bytes()

    assert before[0] != after[0]
    assert before[1] == after[1]
    assert delivered == b"n3w-and-s3cret"


async def test_a_secret_outside_of_the_repository_is_refused_by_its_line(
    house: GitHouse, reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / "outside.age").write_text("x")
    spec = {"secrets": {"token": {"age": str(tmp_path / "outside.age")}}}
    house.plugin("user", secrets=["token"], spec=spec)
    house.repo.commit()
    reading = read_tree(await reader.read(house.repo.url), GitSource(url=house.repo.url))
    allowed = GitSource(url=house.repo.url, files=(str(tmp_path),))

    [trouble] = reading.troubles
    assert "spec.secrets.token.age: found" in trouble.words
    assert read_tree(reading.tree, allowed).troubles == ()
