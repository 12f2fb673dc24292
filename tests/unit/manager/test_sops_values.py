"""Files of SOPS: read as its published format says, and refused when anything in them was changed.

The reader was also tried on files that SOPS 3.8.1 itself had written; those are not ours to ship.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.manager.age_values import AgeKey, Undecipherable
from orchestrator.manager.sops_values import sops_value
from orchestrator.model.yaml_text import dump_yaml
from tests.unit.manager.sops_house import encrypted

OURS, OTHERS = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
KEY = AgeKey([OURS])
DATA: dict[str, Any] = {
    "token": "s3cret",
    "number": 7,
    "share": 3.25,
    "flag": True,
    "none": None,
    "empty": "",
    "note_unencrypted": "seen by all",
    "level_unencrypted": 1.5,
    "database": {"password": "hunter2", "users": ["ann", {"name": "bob"}]},
}


def value(document: Any, key: str, age_key: AgeKey = KEY) -> bytes:
    return sops_value(json.dumps(document).encode(), "secrets.json", key, age_key)


def refusal(document: Any, key: str = "token", age_key: AgeKey = KEY) -> str:
    with pytest.raises(Undecipherable) as caught:
        value(document, key, age_key)
    return str(caught.value)


@pytest.fixture
def document() -> dict[str, Any]:
    return encrypted(DATA, OTHERS.to_public(), OURS.to_public())


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("token", b"s3cret"),
        ("number", b"7"),
        ("share", b"3.25"),
        ("flag", b"True"),
        ("database.password", b"hunter2"),
        ("database.users.0", b"ann"),
        ("database.users.1.name", b"bob"),
    ],
)
def test_every_kind_of_value_is_read_by_its_path(
    document: dict[str, Any], key: str, expected: bytes
) -> None:
    assert value(document, key) == expected


def test_yaml_is_read_like_json(document: dict[str, Any]) -> None:
    text = dump_yaml(document).encode()

    assert sops_value(text, "secrets.yaml", "database.password", KEY) == b"hunter2"


def test_a_mac_over_encrypted_values_only_is_understood_and_no_other() -> None:
    document = encrypted(DATA, OURS.to_public(), mac_only_encrypted=True)
    fine = value(document, "token")
    document["note_unencrypted"] = "another, as the MAC does not cover it"
    still = value(document, "token")
    del document["sops"]["mac_only_encrypted"]

    assert (fine, still) == (b"s3cret", b"s3cret")
    assert "its MAC does not fit" in refusal(document)


def _rename(document: dict[str, Any]) -> None:
    document["t0ken"] = document.pop("token")


def _swap(document: dict[str, Any]) -> None:
    users = document["database"]["users"]
    users[0], users[1]["name"] = users[1]["name"], users[0]


def _reorder(document: dict[str, Any]) -> None:
    document["token"] = document.pop("token")


def _drop(document: dict[str, Any]) -> None:
    del document["number"]


def _add(document: dict[str, Any]) -> None:
    document["more_unencrypted"] = "x"


def _open_note(document: dict[str, Any]) -> None:
    document["note_unencrypted"] = "changed"


def _flip(document: dict[str, Any]) -> None:
    sealed = document["number"]
    document["number"] = sealed.replace("data:", "data:A" if "data:A" not in sealed else "data:B")


def _later(document: dict[str, Any]) -> None:
    document["sops"]["lastmodified"] = "2026-11-30T12:00:00Z"


def _no_mac(document: dict[str, Any]) -> None:
    del document["sops"]["mac"]


def _other_mac(document: dict[str, Any]) -> None:
    document["sops"]["mac"] = document["token"]


@pytest.mark.parametrize(
    "change",
    [_rename, _swap, _reorder, _drop, _add, _open_note, _flip, _later, _no_mac, _other_mac],
)
def test_a_file_that_was_changed_gives_no_value_at_all(
    document: dict[str, Any], change: Any
) -> None:
    change(document)

    assert "hunter2" not in refusal(document, "database.password")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("nothing", "no value at that key"),
        ("token.more", "no value at that key"),
        ("database.users.9", "no value at that key"),
        ("database.users.-1", "no value at that key"),
        ("sops.mac", "no value at that key"),
        ("database", "no encrypted value"),
        ("note_unencrypted", "no encrypted value"),
        ("empty", "no encrypted value"),
        ("none", "no encrypted value"),
    ],
)
def test_a_key_that_names_no_encrypted_value_is_refused(
    document: dict[str, Any], key: str, words: str
) -> None:
    assert words in refusal(document, key)


def test_a_file_for_others_only_is_refused(document: dict[str, Any]) -> None:
    stranger = AgeKey([pyrage.x25519.Identity.generate()])

    assert refusal(document, age_key=stranger) == "is encrypted for none of our keys"


def test_key_groups_and_files_without_age_are_refused(document: dict[str, Any]) -> None:
    groups = copy.deepcopy(document)
    groups["sops"]["key_groups"] = [{"age": groups["sops"]["age"]}]
    document["sops"]["age"] = None

    assert "no recipients of age" in refusal(groups)
    assert "no recipients of age" in refusal(document)


@pytest.mark.parametrize(
    "data", [b"", b"a: [", b"[]", b"a: b", b"sops: 1", b"sops: {age: [1]}\na: b"]
)
def test_what_sops_never_wrote_is_refused(data: bytes) -> None:
    with pytest.raises(Undecipherable):
        sops_value(data, "secrets.yaml", "a", KEY)


VALUES = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
    | st.integers(-(2**53), 2**53)
    | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b_unencrypted", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES, st.booleans())
def test_whatever_stands_beside_it_the_value_comes_out(other: Any, only: Any) -> None:
    data = {"first": other, "wanted": "s3cret", "last": other}
    document = encrypted(data, OURS.to_public(), mac_only_encrypted=only)

    assert value(document, "wanted") == b"s3cret"


def test_the_size_of_what_is_read_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(Undecipherable, match="neither YAML nor JSON"):
        sops_value(b"a: " + b"x" * (2 << 20), "secrets.yaml", "a", KEY)
