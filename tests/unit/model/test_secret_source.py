"""SecretSource: exactly one place for a value, and what is said of anything else."""

from pathlib import Path

import pytest

from orchestrator.model.load import load_manifest
from orchestrator.model.problems import InvalidFile
from orchestrator.model.secret_source import Reference, SecretSource, files_of, references

MANIFEST = """\
apiVersion: orchestrator/v1
kind: Plugin
metadata: {name: reader}
spec:
  source: {image: reader}
  secrets:
    token: PLACE
"""
ONE = "found {}, expected exactly one of file, environment, age, sops"
KEY = "found {}, expected key with sops, and with nothing else"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("{}", ": " + ONE.format("none of them")),
        ("{key: a}", ": " + ONE.format("none of them")),
        ("{file: a, age: b}", ": " + ONE.format("file and age")),
        ("{sops: a.yaml}", ": " + KEY.format("sops without key")),
        ("{file: a, key: b}", ": " + KEY.format("key with file")),
        (
            "{environment: path}",
            (".environment: found 'path', expected what follows ORCHESTRATOR_SECRET_ in a "
            "variable's name, in upper case"),
        ),
        ("{value: s3cret}", (".value: found an unknown field, expected one of file, environment, "
         "age, sops, key")),
    ],
)  # fmt: skip
def test_another_place_than_one_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MANIFEST.replace("PLACE", place))
    with pytest.raises(InvalidFile) as caught:
        load_manifest(Path("m.yaml"))

    assert f"m.yaml:7: spec.secrets.token{words}" in str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (SecretSource(file="a"), "a"),
        (SecretSource(environment="A"), "environment:A"),
        (SecretSource(age="a"), "age:a"),
        (SecretSource(sops="a", key="b.c"), "sops:a#b.c"),
    ],
)
def test_the_digest_of_a_plain_file_is_what_it_was_before_there_were_others(
    source: SecretSource, place: str
) -> None:
    assert source.place == place


def reference(folder: Path, **source: str) -> Reference:
    sources, origin = {"token": SecretSource(**source)}, folder / "m.yaml"
    files = files_of(sources, origin)
    return references(sources, files, origin=origin, field="spec.secrets")["token"]


@pytest.mark.parametrize(
    ("written", "confined"),
    [("a", True), ("sub/../a", True), ("../a", False), ("sub/../../a", False), ("/etc/a", False)],
)
def test_only_what_is_written_to_lie_in_the_folder_is_held_to_it(
    tmp_path: Path,
    written: str,
    confined: bool,  # noqa: FBT001 - a column
) -> None:
    assert reference(tmp_path, file=written).confined is confined
    assert reference(tmp_path, environment="A").confined is False
