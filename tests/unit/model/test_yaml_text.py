"""dump_yaml: whatever data there is, what it writes is read back as the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.model.parse import parse_tree
from orchestrator.model.yaml_text import dump_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**90), max_value=10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(["0o17", "0x1f", "1e3", ".5", "010", "~", "null", "TRUE", ".inf", "yes", "-"])
    | st.lists(st.sampled_from(["a", "# b", "  c", "é"])).map("\n".join)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def back(data: JsonValue) -> JsonValue:
    return parse_tree(dump_yaml(data).encode(), "a.yaml").data


@given(VALUES)
def test_what_is_written_is_read_back(data: JsonValue) -> None:
    assert back(data) == data


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_type(number: float) -> None:
    assert repr(back([number])) == repr([number])


@pytest.mark.parametrize("word", ["0o17", "1e3", "true", "null", "12", ""])
def test_text_that_looks_like_something_else_is_quoted(word: str) -> None:
    assert dump_yaml([word]) == f'- "{word}"\n'


def test_keys_stay_in_their_order_and_lists_are_indented() -> None:
    data: JsonValue = {"b": 1, "a": ["x", {"y": []}], "t": "one\ntwo\n"}

    assert dump_yaml(data) == "b: 1\na:\n  - x\n  - y: []\nt: |\n  one\n  two\n"
