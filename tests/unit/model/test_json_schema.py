"""A stranger's JSON Schema: what it may say, what it may cost, what it may never reach."""

import copy
import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.errors import Kind
from orchestrator.model.json_schema import (
    MAX_PROBLEMS,
    SchemaChecker,
    check_config,
    fill_defaults,
)
from orchestrator.model.problems import InvalidFile
from orchestrator.model.schema_cost import InvalidSchema


def refusal(schema: dict[str, JsonValue]) -> str:
    with pytest.raises(InvalidSchema) as caught:
        SchemaChecker(schema)

    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "invalid_schema")
    return str(caught.value).removeprefix("JSON Schema: ")


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "integer"}, "5", ("", "found '5', expected integer")),
        ({"enum": ["a", 1]}, "b", ("", "found 'b', expected one of a, 1")),
        ({"const": True}, 1, ("", "found 1, expected true")),
        ({"minimum": 3}, 2, ("", "found 2, expected at least 3")),
        ({"exclusiveMaximum": 3}, 3, ("", "found 3, expected less than 3")),
        ({"multipleOf": 2}, 3, ("", "found 3, expected a multiple of 2")),
        ({"minLength": 2}, "a", ("", "found 'a', expected at least 2 characters")),
        ({"maxItems": 0}, [1], ("", "found a list, expected at most 0 items")),
        ({"uniqueItems": True}, [1, 1], ("", "found a list, expected no item twice")),
        ({"pattern": "^a$"}, "b", ("", "found 'b', expected text that matches '^a$'")),
        ({"properties": {"a": False}}, {"a": 1}, ("a", "found 1, expected no such field")),
        ({"required": ["a"]}, {}, ("a", "found nothing, expected a value")),
        (
            {"additionalProperties": False},
            {"a": 1},
            ("a", "found an unknown field, expected no such field"),
        ),
        (
            {"items": {"properties": {"a": {"type": "null"}}}},
            [{}, {"a": 0}],
            ("[1].a", "found 0, expected null"),
        ),
        (
            {"contains": {"type": "string"}},
            [],
            ("", "found an empty list, expected what the schema's 'contains' asks for"),
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_place(
    schema: dict[str, JsonValue], value: JsonValue, problem: tuple[str, str]
) -> None:
    checker = SchemaChecker(schema)

    assert checker.problems(value) == [problem]
    assert not checker.is_valid(value)


def test_a_plugin_that_takes_no_config_names_each_field_given() -> None:
    checker = SchemaChecker({"type": "object", "additionalProperties": False})

    assert checker.problems({"a": 1, "b": 2}) == [
        ("a", "found an unknown field, expected no such field"),
        ("b", "found an unknown field, expected no such field"),
    ]


def test_a_value_that_fits_has_no_problems() -> None:
    checker = SchemaChecker({"type": "object", "properties": {"a": {"type": "integer"}}})

    assert checker.problems({"a": 1}) == []
    assert checker.is_valid({"a": 1})


def test_at_most_twenty_problems_are_told() -> None:
    checker = SchemaChecker({"items": {"type": "string"}})

    assert len(checker.problems(list(range(500)))) == MAX_PROBLEMS


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:1/x",
        "https://example.com/schema.json",
        "file:///etc/passwd",
        "other.json",
        "//example.com/x",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_references_out_of_the_schema_are_refused(keyword: str, reference: str) -> None:
    assert refusal({"properties": {"a": {keyword: reference}}}) == (
        f"properties.a.{keyword}: found '{reference}', "
        "expected a reference within it, such as #/$defs/x"
    )


def test_nothing_is_fetched_even_where_the_reference_hides_in_an_unknown_keyword() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        for schema in (
            {"$id": address, "$ref": "y"},
            {"$ref": "#/unknown/0", "unknown": [{"$ref": address}]},
            {"$schema": address},
            {"$defs": {"a": {"$id": address}}},
            {"$vocabulary": {address: True}, "$schema": address},
        ):
            refusal(json.loads(json.dumps(schema)))
        SchemaChecker({"$id": address, "enum": [{"$ref": address}], "unused": {"$ref": address}})

        with pytest.raises(TimeoutError):
            server.accept()


def test_names_that_look_like_references_are_only_names() -> None:
    checker = SchemaChecker({"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "x"}})

    assert checker.is_valid({"$ref": "http://example.com"})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/$defs/a"}, "$ref: found '#/$defs/a', expected a place that the schema has"),
        ({"$ref": "#a"}, "$ref: found '#a', expected a place that the schema has"),
        ({"$ref": 3}, "$ref: found 3, expected a reference within it, such as #/$defs/x"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            (
                "$schema: found 'http://json-schema.org/draft-07/schema#', "
                "expected https://json-schema.org/draft/2020-12/schema"
            ),
        ),
        ({"not": {"$id": "a"}}, "not.$id: found 'a', expected no $id below the top"),
        (
            {"$defs": {"a": {"$anchor": "x"}, "b": [{"$dynamicAnchor": "x"}]}},
            "$defs.b[0].$dynamicAnchor: found the anchor 'x' again, expected every anchor once",
        ),
        ({"type": "txt"}, "type: found 'txt', expected what JSON Schema 2020-12 allows"),
        ({"minLength": -1}, "minLength: found -1, expected at least 0"),
        (
            {"pattern": "(?=a)b"},
            (
                "pattern: found '(?=a)b', "
                "expected a valid regex (without look-around or back-references)"
            ),
        ),
        (
            {"pattern": "((a{1,1000}){1,1000}){1,1000}"},
            (
                "pattern: found '((a{1,1000}){1,1000}){1,1000}', "
                "expected a valid regex (without look-around or back-references)"
            ),
        ),
    ],
)
def test_what_is_no_usable_schema_is_refused(schema: dict[str, JsonValue], message: str) -> None:
    assert refusal(schema) == message


def test_half_of_a_surrogate_pair_fits_no_schema() -> None:
    checker = SchemaChecker({"type": "string"})

    assert not checker.is_valid("\ud800")
    assert checker.problems("\ud800") == [
        ("", "found half of a surrogate pair, expected whole characters")
    ]


def test_defaults_are_filled_in_on_every_level_and_shared_with_nobody() -> None:
    schema: dict[str, JsonValue] = {
        "properties": {
            "list": {"default": [1]},
            "given": {"default": 1},
            "deep": {"properties": {"a": {"default": "x"}, "b": {}}},
            "made": {"default": {}, "properties": {"a": {"default": None}}},
            "absent": {"properties": {"a": {"default": 1}}},
        }
    }
    before = copy.deepcopy(schema)
    value: JsonValue = {"given": 2, "deep": {"b": 3}}
    filled = fill_defaults(schema, value)

    assert filled == {
        "given": 2,
        "deep": {"b": 3, "a": "x"},
        "list": [1],
        "made": {"a": None},
    }
    assert isinstance(filled, dict)
    assert isinstance(filled["list"], list)
    filled["list"].append(2)
    assert (schema, value) == (before, {"given": 2, "deep": {"b": 3}})


def test_defaults_come_from_no_reference_and_no_alternative() -> None:
    schema: dict[str, JsonValue] = {
        "allOf": [{"properties": {"a": {"default": 1}}}],
        "properties": {"b": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"default": 1}},
    }

    assert fill_defaults(schema, {}) == {}


def test_a_checked_config_has_its_defaults() -> None:
    schema: dict[str, JsonValue] = {"properties": {"a": {"type": "integer", "default": 1}}}

    assert check_config(schema, {}, file="m.yaml") == {"a": 1}


def test_a_default_is_checked_like_any_value() -> None:
    schema: dict[str, JsonValue] = {"properties": {"a": {"type": "integer", "default": "x"}}}
    with pytest.raises(InvalidFile, match=r"m\.yaml: spec\.config\.a: found 'x', expected integer"):
        check_config(schema, {}, file="m.yaml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "$ref",
                    "$dynamicRef",
                    "$defs",
                    "$anchor",
                    "$id",
                    "properties",
                    "items",
                    "a",
                    "allOf",
                    "anyOf",
                    "not",
                    "enum",
                    "required",
                    "type",
                    "pattern",
                    "dependencies",
                    "unevaluatedProperties",
                    "patternProperties",
                    "prefixItems",
                    "if",
                    "default",
                ]
            ),
            inner | st.sampled_from(["#", "#/a", "#/allOf/0", "#/$defs/a", "object", "^a"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(schema=st.dictionaries(st.just("allOf") | st.just("items"), VALUES) | VALUES, value=VALUES)
def test_any_schema_checks_any_value_or_is_refused(schema: JsonValue, value: JsonValue) -> None:
    if not isinstance(schema, dict):
        return
    try:
        checker = SchemaChecker(schema)
    except InvalidSchema:
        return

    assert checker.is_valid(value) == (checker.problems(value) == [])
    fill_defaults(schema, value)


def test_the_library_has_one_home() -> None:
    package = Path(__file__).parents[3] / "orchestrator"
    homes = [path for path in package.rglob("*.py") if "jsonschema_rs" in path.read_text("utf-8")]

    assert [path.name for path in homes] == ["json_schema.py"]
