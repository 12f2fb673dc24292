"""Environments: which patches are for which manifests, and what is told of those that fail."""

from pathlib import Path

import pytest

from orchestrator.errors import Kind
from orchestrator.model.environments import EnvironmentUnknown, known_in
from orchestrator.model.load import load_manifest, load_manifests, read_manifests
from orchestrator.model.problems import InvalidFile
from orchestrator.model.yaml_text import dump_yaml

HEAD = "apiVersion: orchestrator/v1\nkind: Plugin\nmetadata: {name: NAME}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("m/echo.yaml", "spec:\n  source: {build: echo}\n  limits: {max_memory_mb: 64}\n")
    write("m/environments/prod/echo.yaml", "spec:\n  limits: {max_memory_mb: 512}\n")
    return Path("m")


def write(path: str, rest: str, *, name: str = "echo") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEAD.replace("NAME", name) + rest, encoding="utf-8")
    return file


def problems(*paths: Path, environment: str = "prod") -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load_manifests(paths, environment)
    return str(caught.value).splitlines()


def test_without_an_environment_a_manifest_is_what_its_file_says(folder: Path) -> None:
    [one] = load_manifests([folder])

    assert (one.manifest.spec.limits.max_memory_mb, one.patch, one.base) == (64, None, None)


def test_with_one_its_patch_is_over_it(folder: Path) -> None:
    [one] = load_manifests([folder], "prod")

    assert one.manifest.spec.limits.max_memory_mb == 512
    assert one.patch == folder / "environments" / "prod" / "echo.yaml"
    assert one.base is not None
    assert one.base.spec.limits.max_memory_mb == 64
    assert one.build_folder() == Path.cwd() / "m" / "echo"


def test_a_file_that_is_named_is_patched_too_and_the_others_patches_do_not_matter(
    folder: Path,
) -> None:
    write("m/environments/prod/other.yaml", "spec: {}\n", name="other")
    [one] = load_manifests([folder / "echo.yaml"], "prod")

    assert one.manifest.spec.limits.max_memory_mb == 512


def test_the_result_loads_again_to_the_same_manifest(folder: Path) -> None:
    [one] = load_manifests([folder], "prod")
    again = folder / "again.yaml"
    again.write_text(dump_yaml(one.data), encoding="utf-8")

    assert load_manifest(again).manifest == one.manifest


def test_what_is_wrong_is_told_in_the_file_that_says_it(folder: Path) -> None:
    write("m/environments/prod/echo.yaml", "spec:\n  limits: {max_memory_mb: 1}\n  stat: x\n")
    write("m/echo.yaml", "spec:\n  source: {build: echo}\n  replicas: none\n")

    assert problems(folder) == [
        "m/echo.yaml:6: spec.replicas: found 'none', expected a whole number, 1 to 32",
        (
            "m/environments/prod/echo.yaml:5: spec.limits.max_memory_mb: found 1, "
            "expected a whole number of MiB, 8 to 1048576"
        ),
        (
            "m/environments/prod/echo.yaml:6: spec.stat: found an unknown field, expected one of "
            "source, permissions, limits, config, secrets, inject, runtime, state, replicas, "
            "idle_timeout (did you mean state?)"
        ),
    ]


def test_what_a_patch_removed_is_missed_at_its_line(folder: Path) -> None:
    write("m/environments/prod/echo.yaml", "spec:\n  source: null\n")

    assert problems(folder) == [
        "m/environments/prod/echo.yaml:5: spec.source: found nothing, expected a mapping"
    ]


def test_a_base_may_leave_open_what_its_patch_says(folder: Path) -> None:
    write("m/echo.yaml", "spec: {}\n")
    write("m/environments/prod/echo.yaml", "spec: {source: {image: 'echo:1'}}\n")
    [one] = load_manifests([folder], "prod")

    assert (one.manifest.spec.source.image, one.base) == ("echo:1", None)
    with pytest.raises(InvalidFile):
        load_manifests([folder])


def test_a_patch_without_a_base_is_refused_with_its_line(folder: Path) -> None:
    write("m/environments/prod/ecko.yaml", "spec: {}\n", name="ecko")

    assert problems(folder) == [
        (
            "m/environments/prod/ecko.yaml:3: metadata.name: found 'ecko', of which m has no "
            "manifest, expected the name of a manifest that lies there (did you mean echo?)"
        )
    ]


def test_two_patches_of_one_manifest_are_refused(folder: Path) -> None:
    write("m/environments/prod/more.yaml", "spec: {}\n")

    assert problems(folder) == [
        (
            "m/environments/prod/more.yaml:3: metadata.name: found a second patch of echo "
            "(m/environments/prod/echo.yaml is one), expected one for each manifest"
        )
    ]


def test_a_patch_says_what_it_is_for(folder: Path) -> None:
    (folder / "environments/prod/echo.yaml").write_text("kind: Policy\nspec: {}\n")

    assert problems(folder) == [
        "m/environments/prod/echo.yaml:1: apiVersion: found nothing, expected orchestrator/v1",
        "m/environments/prod/echo.yaml:1: kind: found 'Policy', expected Plugin",
        (
            "m/environments/prod/echo.yaml:1: metadata.name: found no name, "
            "expected the name of a manifest"
        ),
    ]


@pytest.mark.parametrize("text", ["[]", "a: [", "", "\0", "5"])
def test_a_patch_that_is_no_mapping_is_refused(folder: Path, text: str) -> None:
    (folder / "environments/prod/echo.yaml").write_text(text)

    assert all(line.startswith("m/environments/prod/echo.yaml") for line in problems(folder))


@pytest.mark.parametrize("name", ["prd", "..", "../m/environments/prod", "", "/", "PROD", "a" * 99])
def test_an_unknown_environment_is_refused_and_names_those_there_are(
    folder: Path, name: str
) -> None:
    (folder / "environments" / "staging").mkdir()
    with pytest.raises(EnvironmentUnknown, match=r"expected one of prod, staging") as caught:
        load_manifests([folder], name)

    assert (caught.value.kind, caught.value.code) == (Kind.NOT_FOUND, "environment_unknown")
    assert known_in(folder) == ["prod", "staging"]


def test_a_folder_without_the_environment_goes_with_one_that_has_it(folder: Path) -> None:
    write("n/other.yaml", "spec: {source: {image: x}}\n", name="other")
    both = load_manifests([folder, Path("n")], "prod")

    assert [one.patch is not None for one in both] == [True, False]
    with pytest.raises(EnvironmentUnknown, match="expected a folder environments/NAME"):
        load_manifests([Path("n")], "prod")


def test_links_out_of_the_folder_are_refused(folder: Path) -> None:
    outside = write("outside.yaml", "spec: {}\n")
    (folder / "environments/prod/out.yaml").symlink_to(outside.absolute())
    (folder / "environments/dev").symlink_to(Path.cwd(), target_is_directory=True)
    refusal = "found a link that leads outside, expected a file of the folder"

    assert problems(folder) == [f"m/environments/prod/out.yaml: {refusal}"]
    assert problems(folder, environment="dev") == [f"m/environments/dev: {refusal}"]


def test_links_to_themselves_are_refused(folder: Path) -> None:
    (folder / "environments/prod/loop.yaml").symlink_to("loop.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")

    assert problems(folder) == [
        f"m/{name}: found a link that leads outside, expected a file of the folder"
        for name in ("loop.yaml", "environments/prod/loop.yaml")
    ]


def test_what_is_right_is_given_beside_the_problems_of_the_rest(folder: Path) -> None:
    write("m/bad.yaml", "spec: {}\n", name="bad")
    loaded, found = read_manifests([folder], "prod")

    assert [one.manifest.metadata.name for one in loaded] == ["echo"]
    assert [(one.file, one.line) for one in found] == [("m/bad.yaml", 4)]
