"""YAML and JSON text: what it means, where it lies, and what is refused."""

import contextlib
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.model import tree
from orchestrator.model.parse import MAX_BYTES, parse_tree
from orchestrator.model.problems import InvalidFile

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**90), max_value=10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=20,
)


def refusal(text: str | bytes, file: str = "a.yaml") -> str:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InvalidFile) as caught:
        parse_tree(data, file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("~", None),
        ("", None),
        ("Null", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: JsonValue) -> None:
    found = parse_tree(f"[{text}, x]".encode() if text else b"- \n- x", "a.yaml").data

    assert isinstance(found, list)
    assert (found[0], type(found[0])) == (value, type(value))


def test_every_value_has_its_line_and_column() -> None:
    tree = parse_tree(b"# top\na:\n  - x\n  - b: {c: 1}\n", "a.yaml")

    known = {path: (at.line, at.column) for path, at in tree.positions.known.items()}
    assert known == {
        (): (2, 1),
        ("a",): (2, 1),
        ("a", 0): (3, 5),
        ("a", 1): (4, 5),
        ("a", 1, "b"): (4, 5),
        ("a", 1, "b", "c"): (4, 9),
    }


def test_json_values_have_their_line_and_column_also_between_tabs() -> None:
    tree = parse_tree(b'{"a": [1,\n\t\t2],\n "b": {"c": null}}', "a.json")

    known = {path: (at.line, at.column) for path, at in tree.positions.known.items()}
    assert known == {
        (): (1, 1),
        ("a",): (1, 2),
        ("a", 0): (1, 8),
        ("a", 1): (2, 3),
        ("b",): (3, 2),
        ("b", "c"): (3, 8),
    }


def test_a_missing_value_lies_where_its_parent_does() -> None:
    tree = parse_tree(b"a:\n  b: 1\n", "a.yaml")

    assert tree.positions.of(("a", "zz", 3)) == tree.positions.known[("a",)]
    assert tree.positions.of(("zz",)) == tree.positions.known[()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: 2\na: 3",
            (
                "a.yaml:3: a: found the key 'a' again (it stands on line 1 already), "
                "expected every key once"
            ),
        ),
        ("", "a.yaml: found an empty file, expected a mapping of fields"),
        ("# only words\n", "a.yaml: found an empty file, expected a mapping of fields"),
        ("a: 1\n---\nb: 2", "a.yaml:2: found a second document, expected one document in a file"),
        (
            "a: &x [1]\nb: *x",
            "a.yaml:1: found the anchor '&x', expected every value written where it stands",
        ),
        ("a: *x", "a.yaml:1: found the alias '*x', expected every value written where it stands"),
        (
            "a:\n  !!python/object/apply:os.system [ls]",
            (
                "a.yaml:2: found the tag 'tag:yaml.org,2002:python/object/apply:os.system', "
                "expected plain values without tags"
            ),
        ),
        (
            "a: !!str 1",
            "a.yaml:1: found the tag 'tag:yaml.org,2002:str', expected plain values without tags",
        ),
        ("? [a]\n: 1", "a.yaml:1: found a list or mapping as a key, expected text"),
        ("8080: x", "a.yaml:1: found 8080 as a key, expected text; in quotes if it must be so"),
        ("true: x", "a.yaml:1: found true as a key, expected text; in quotes if it must be so"),
        ("a: .inf", "a.yaml:1: found '.inf', expected a finite number of at most 100 digits"),
        ("a: .NaN", "a.yaml:1: found '.NaN', expected a finite number of at most 100 digits"),
        ("a: 1e999", "a.yaml:1: found '1e999', expected a finite number of at most 100 digits"),
        (
            "a: [1\nb: 2",
            (
                "a.yaml:2: found broken YAML: did not find expected ',' or ']', "
                "while parsing a flow sequence, expected YAML 1.2"
            ),
        ),
        (
            "a:\n\tb: 1",
            (
                "a.yaml:2: found broken YAML: found character that cannot start any token, "
                "while scanning for the next token, expected spaces, never tabs"
            ),
        ),
    ],
)
def test_yaml_is_refused_with_the_line(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"a": 1,\n "a": 2}',
            (
                "a.json:2: a: found the key 'a' again (it stands on line 1 already), "
                "expected every key once"
            ),
        ),
        ('{"a": 1,}', "a.json:1: found broken JSON: '}', expected a key in double quotes"),
        ("{a: 1}", "a.json:1: found broken JSON: 'a', expected a key in double quotes"),
        ('{"a" 1}', "a.json:1: found broken JSON: '1', expected ':'"),
        ("[1\n 2]", "a.json:2: found broken JSON: '2', expected ',' or ']'"),
        ("[01]", "a.json:1: found broken JSON: '1', expected ',' or ']'"),
        ("[", "a.json:1: found broken JSON: the end, expected a value"),
        ("{} {}", "a.json:1: found broken JSON: '{', expected the end of the file"),
        ("# no", "a.json:1: found broken JSON: '#', expected a value"),
        ("NaN", "a.json:1: found broken JSON: 'N', expected a value"),
        ("1e999", "a.json:1: found '1e999', expected a finite number of at most 100 digits"),
        ('["\\ud800"]', "a.json:1: found half of a surrogate pair, expected whole characters"),
        (" \n", "a.json: found an empty file, expected a JSON object"),
    ],
)
def test_json_is_refused_with_the_line(text: str, message: str) -> None:
    assert refusal(text, "a.json") == message


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_bytes_that_are_no_text_are_refused(file: str) -> None:
    assert refusal(b"[1,\n\xff]", file) == f"{file}:2: found the byte 0xff, expected text in UTF-8"
    assert refusal(b"[1,\n\n\0]", file) == f"{file}:3: found '\\x00', expected text in UTF-8"


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse_tree(b"\xef\xbb\xbfa: 1", "a.yaml").data == {"a": 1}
    assert parse_tree(b'\xef\xbb\xbf{"a": 1}', "a.json").data == {"a": 1}


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_a_file_of_more_than_one_mebibyte_is_refused(file: str) -> None:
    text = json.dumps("x" * (MAX_BYTES - 2))

    assert parse_tree(text.encode(), file).data == "x" * (MAX_BYTES - 2)
    assert refusal(text + " ", file) == f"{file}: found more than 1 MiB, expected at most 1 MiB"


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_nesting_ends_at_64_levels(file: str) -> None:
    levels = tree.MAX_DEPTH
    parse_tree(b"[" * levels + b"]" * levels, file)

    assert "more than 64 levels" in refusal(b"[" * (levels + 1) + b"]" * (levels + 1), file)
    assert refusal(b"[" * 100_000, file) == (
        f"{file}:1: found more than 64 levels of nesting, expected at most 64"
    )


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_keys_and_values_end_at_ten_thousand(file: str) -> None:
    # The list itself is one.
    parse_tree(json.dumps([1] * (tree.MAX_NODES - 1)).encode(), file)

    assert refusal(json.dumps([1] * tree.MAX_NODES), file) == (
        f"{file}:1: found more than 10,000 keys and values, expected at most 10,000"
    )
    pairs = {str(number): 1 for number in range(tree.MAX_NODES // 2)}
    assert "more than 10,000" in refusal(json.dumps(pairs), file)


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    assert refusal("\n".join(lines)).startswith("a.yaml:1: found the anchor '&a0'")


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_numbers_end_at_a_hundred_digits(file: str) -> None:
    assert parse_tree(b"[" + b"9" * 100 + b"]", file).data == [10**100 - 1]
    assert "at most 100 digits" in refusal(b"[" + b"9" * 101 + b"]", file)


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
@given(value=VALUES)
def test_any_json_is_read_back_from_both_parsers(file: str, value: JsonValue) -> None:
    text = json.dumps(value, ensure_ascii=file == "a.json")
    # The parser's YAML 1.1 takes these for line ends and folds them, as it folds any other.
    assume(file == "a.json" or not set(text) & {"\x85", "\u2028", "\u2029"})
    try:
        found = parse_tree(text.encode(), file).data
    except InvalidFile:
        # YAML has no way to write these characters raw; nothing else is refused.
        assert file == "a.yaml"
        assert any(not character.isprintable() for character in text)
        return

    assert found == value


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for file in ("a.yaml", "a.json"):
        with contextlib.suppress(InvalidFile):
            json.dumps(parse_tree(data, file).data, allow_nan=False)


@given(data=st.text(alphabet="{}[]:,\"'\\ \n-?&*!|>%@`#a1e.u", max_size=60))
def test_any_punctuation_is_read_or_refused(data: str) -> None:
    for file in ("a.yaml", "a.json"):
        with contextlib.suppress(InvalidFile):
            found = parse_tree(data.encode(), file).data

            # What our JSON parser takes, the standard library's takes too, and as the same.
            assert file == "a.yaml" or json.loads(data) == found
