"""What a stranger's JSON Schema may cost: time, memory and stack are bounded."""

import threading

import pytest
from pydantic import JsonValue

from orchestrator.errors import Kind
from orchestrator.model.json_schema import (
    MAX_VALUE_DEPTH,
    SchemaChecker,
)
from orchestrator.model.schema_cost import InvalidSchema, SchemaCost, measure

NODE: JsonValue = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
LINKED: dict[str, JsonValue] = {"$ref": "#/$defs/node", "$defs": {"node": NODE}}


def nested(levels: int, inside: JsonValue = None) -> JsonValue:
    value: JsonValue = {} if inside is None else inside
    for _ in range(levels):
        value = {"next": value}
    return value


def refusal(schema: dict[str, JsonValue]) -> str:
    with pytest.raises(InvalidSchema) as caught:
        SchemaChecker(schema)

    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "invalid_schema")
    return str(caught.value).removeprefix("JSON Schema: ")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$dynamicAnchor": "a", "not": {"$dynamicRef": "#a"}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"if": {"properties": {}}, "dependentSchemas": {"a": {"$ref": "#"}}},
    ],
)
def test_a_schema_that_leads_back_to_itself_is_refused(schema: dict[str, JsonValue]) -> None:
    assert "found a reference that leads back to itself" in refusal(schema)


def test_recursion_through_a_values_parts_is_fine_to_a_bound() -> None:
    checker = SchemaChecker(LINKED)

    assert checker.is_valid(nested(MAX_VALUE_DEPTH))
    assert checker.problems(nested(50, inside=3)) == [
        (".".join(["next"] * 50), "found 3, expected object")
    ]
    assert not checker.is_valid(nested(MAX_VALUE_DEPTH + 1))


def test_a_value_deeper_than_any_stack_is_refused_not_crashed_on() -> None:
    answers = []

    def check() -> None:
        answers.append(SchemaChecker(LINKED).problems(nested(100_000)))

    thread = threading.Thread(target=check)
    thread.start()
    thread.join()

    too_much = "found a value too large or too deep for its schema, expected a smaller one"
    assert answers == [[("", too_much)]]


def test_doubling_with_every_level_is_refused_before_it_is_done() -> None:
    # 2 to the 40th visits; the assertion is reached only if they do not happen.
    twice: JsonValue = [
        {"properties": {"next": {"$ref": "#"}}, "required": ["a"]},
        {"properties": {"next": {"$ref": "#"}}, "required": ["b"]},
    ]
    checker = SchemaChecker({"anyOf": twice})

    assert SchemaCost({"anyOf": twice}).visits(40) > 2**29
    assert not checker.is_valid(nested(40))
    assert "too large or too deep" in checker.problems(nested(40))[0][1]


def test_doubling_on_one_level_is_refused_before_it_is_done() -> None:
    definitions: dict[str, JsonValue] = {
        f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"not": {"$ref": f"#/$defs/a{n + 1}"}}]}
        for n in range(40)
    }
    definitions["a40"] = {"required": ["b"]}
    checker = SchemaChecker({"$ref": "#/$defs/a0", "$defs": definitions})

    assert "too large or too deep" in checker.problems({})[0][1]


def test_a_backtracking_pattern_takes_linear_time() -> None:
    # A backtracking engine would need 2 to the 50,000th steps.
    value = "a" * 50_000 + "!"

    assert not SchemaChecker({"pattern": "(a+)+$"}).is_valid(value)
    assert SchemaChecker({"patternProperties": {"(a+)+$": False}}).is_valid({value: 1})


def test_a_large_wrong_value_is_refused_without_collecting_every_place() -> None:
    # 300,000 collected errors are half a gigabyte.
    checker = SchemaChecker({"anyOf": [{"items": {"type": "string"}}]})

    assert checker.problems([1] * 300_000) == [
        ("", "found a large value that does not fit, expected one that fits its schema")
    ]
    assert checker.is_valid(["x"] * 300_000)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"enum": list(range(6_000))}, "found a size of 6,003, expected at most 5,000"),
        ({"description": "x" * 100_000}, "found a size of 6,253, expected at most 5,000"),
        (
            {"anyOf": [{"$ref": "#/$defs/a"}] * 1_001, "$defs": {"a": {}}},
            "anyOf[0].$ref: found more than 1,000 references, expected at most 1,000",
        ),
    ],
)
def test_the_size_of_a_schema_is_bounded(schema: dict[str, JsonValue], message: str) -> None:
    assert refusal(schema) == message


def test_the_depth_of_a_schema_is_bounded() -> None:
    schema: dict[str, JsonValue] = {}
    for _ in range(1_000):
        schema = {"not": schema}

    assert refusal(schema) == "found 1000 levels of nesting, expected at most 64"


@pytest.mark.parametrize(
    ("value", "size", "depth"),
    [(1, 1, 0), ("x" * 160, 11, 0), ([], 1, 0), ([[1], 2], 4, 2), ({"a": {"b": 1}}, 5, 2)],
)
def test_values_are_measured(value: JsonValue, size: int, depth: int) -> None:
    found = measure(value)

    assert (found.size, found.depth) == (size, depth)


@pytest.mark.parametrize(
    ("schema", "depth", "visits"),
    [
        ({}, 0, 1),
        ({"allOf": [{}, {}]}, 0, 3),
        ({"properties": {"a": {}, "b": {}}}, 0, 1),
        # One part is `a` or `b`, never both; every pattern may meet it too.
        ({"properties": {"a": {}, "b": {}}}, 1, 2),
        ({"properties": {"a": {}}, "patternProperties": {"x": {}, "y": {}}}, 1, 4),
        ({"items": {"enum": [1, 2]}}, 3, 5),
        ({"items": {"$ref": "#"}}, 3, 7),
        ({"allOf": [{}], "unevaluatedProperties": False}, 0, 3),
    ],
)
def test_visits_are_counted(schema: dict[str, JsonValue], depth: int, visits: int) -> None:
    assert SchemaCost(schema).visits(depth) == visits
