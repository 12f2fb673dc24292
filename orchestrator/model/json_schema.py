"""SchemaChecker: values held to a stranger's JSON Schema 2020-12; defaults filled in.

The one home of jsonschema_rs. A schema fetches nothing, its regular expressions run in linear
time, and a value that would be too much work is refused before the work begins.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jsonschema_rs
from pydantic import JsonValue

from orchestrator.model.expectations import one_of
from orchestrator.model.problems import (
    FieldPath,
    InvalidFile,
    Positions,
    dotted,
    problem_at,
    shown,
)
from orchestrator.model.schema_cost import InvalidSchema, SchemaCost, measure, part_at

MAX_PROBLEMS = 20
MAX_VALUE_DEPTH = 100
"""The validator recurses: some ten thousand levels end the process."""
MAX_VISITS = 20_000_000
"""Of parts of a value: about a second of work."""
_MAX_VISITS_FOR_DETAILS = 50_000
"""Telling what is wrong costs about 1.5 kB a place, all of them collected first (seen)."""

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
"""The engine without backtracking; a pattern compiles to at most 1 MiB."""

_Violation = tuple[FieldPath, str, str]
"""(where, what was found, what was expected)."""


class SchemaChecker:
    """One schema, compiled. Raises InvalidSchema for what is none, or asks for too much."""

    def __init__(self, schema: dict[str, JsonValue] | bool) -> None:  # noqa: FBT001 -- a schema may be `true`
        self._cost = SchemaCost(schema)
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                schema, retriever=_retrieve_nothing, pattern_options=_PATTERNS
            )
        except jsonschema_rs.ValidationError as error:
            path = tuple(error.instance_path)
            raise InvalidSchema(
                path, found=shown(part_at(schema, path)), expected=_schema_words(error)
            ) from error
        except ValueError as error:
            raise InvalidSchema((), found=shown(str(error)), expected="a JSON Schema") from error

    def is_valid(self, value: object) -> bool:
        """Whether `value` fits; a value that is too much work does not."""
        try:
            return self._visits(value) <= MAX_VISITS and self._validator.is_valid(value)
        except ValueError:
            # Half of a surrogate pair: no text that could be checked.
            return False

    def problems(self, value: object) -> list[tuple[str, str]]:
        """(dotted path, message) of at most 20 problems; none for a valid value."""
        return [
            (dotted(path), f"found {found}, expected {expected}")
            for path, found, expected in self.violations(value)
        ]

    def violations(self, value: object) -> list[tuple[FieldPath, str, str]]:
        """(path, found, expected) of at most 20 problems; none for a valid value."""
        visits = self._visits(value)
        if visits > MAX_VISITS:
            return [((), "a value too large or too deep for its schema", "a smaller one")]
        if self.is_valid(value):
            return []
        if visits > _MAX_VISITS_FOR_DETAILS:
            return [((), "a large value that does not fit", "one that fits its schema")]
        try:
            errors = self._validator.iter_errors(value)
        except ValueError:
            return [((), "half of a surrogate pair", "whole characters")]
        found = [violation for error in errors for violation in _violations(error, value)]
        return found[:MAX_PROBLEMS]

    def _visits(self, value: object) -> int:
        size = measure(value)
        if size.depth > MAX_VALUE_DEPTH:
            return MAX_VISITS + 1
        return size.size * self._cost.visits(size.depth)


def fill_defaults(schema: JsonValue, value: JsonValue) -> JsonValue:
    """`value` with the `default` of every property that it lacks; both are left as they are.

    Only `properties` and `default` are read, on the way down through `properties`: what a
    reference or an alternative would bring depends on the value, and defaults must not.
    """
    value = copy.deepcopy(value)
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    for name, part in properties.items():
        if name not in value and isinstance(part, dict) and "default" in part:
            value[name] = part["default"]
        if name in value:
            value[name] = fill_defaults(part, value[name])
    return value


def check_config(
    schema: dict[str, JsonValue],
    config: dict[str, JsonValue],
    *,
    file: str,
    positions: Positions | None = None,
    at: FieldPath = ("spec", "config"),
) -> dict[str, JsonValue]:
    """`config` with the schema's defaults. Raises InvalidFile naming each field that is wrong.

    Raises InvalidSchema if the schema is none.
    """
    checker = SchemaChecker(schema)
    filled = fill_defaults(schema, config)
    places = positions or Positions()
    problems = [
        problem_at(file, places, (*at, *path), found=found, expected=expected)
        for path, found, expected in checker.violations(filled)
    ]
    if problems or not isinstance(filled, dict):
        raise InvalidFile(problems)
    return filled


def _retrieve_nothing(uri: str) -> NoReturn:
    raise ValueError(f"references outside the schema are refused: {uri}")


def _violations(error: jsonschema_rs.ValidationError, value: object) -> Iterator[_Violation]:
    path, name, facts = tuple(error.instance_path), error.kind.name, error.kind.as_dict()
    here = part_at(value, path)
    if name == "required":
        yield (*path, facts["property"]), "nothing", "a value"
    elif unknown := _unknown_fields(error, here):
        for field in unknown:
            yield (*path, field), "an unknown field", "no such field"
    else:
        words = _WORDS[name](facts) if name in _WORDS else f"what the schema's '{name}' asks for"
        yield path, shown(here), words


def _unknown_fields(error: jsonschema_rs.ValidationError, here: object) -> list[str]:
    match error.kind.name:
        case "additionalProperties" | "unevaluatedProperties":
            return list(error.kind.as_dict()["unexpected"])
        case "falseSchema" if error.schema_path[-1:] == ["additionalProperties"]:
            # Without `properties` beside it the validator names none of them: all are unknown.
            return list(here) if isinstance(here, dict) else []
        case _:
            return []


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "type": lambda facts: " or ".join(facts["types"]),
    "enum": lambda facts: one_of(facts["options"][:MAX_PROBLEMS]),
    "const": lambda facts: shown(facts["expected_value"]),
    "minimum": lambda facts: f"at least {shown(facts['limit'])}",
    "maximum": lambda facts: f"at most {shown(facts['limit'])}",
    "exclusiveMinimum": lambda facts: f"more than {shown(facts['limit'])}",
    "exclusiveMaximum": lambda facts: f"less than {shown(facts['limit'])}",
    "multipleOf": lambda facts: f"a multiple of {shown(facts['multiple_of'])}",
    "minLength": lambda facts: f"at least {facts['limit']} characters",
    "maxLength": lambda facts: f"at most {facts['limit']} characters",
    "minItems": lambda facts: f"at least {facts['limit']} items",
    "maxItems": lambda facts: f"at most {facts['limit']} items",
    "minProperties": lambda facts: f"at least {facts['limit']} fields",
    "maxProperties": lambda facts: f"at most {facts['limit']} fields",
    "pattern": lambda facts: f"text that matches {shown(facts['pattern'])}",
    "uniqueItems": lambda _: "no item twice",
    "anyOf": lambda _: "a value that fits one of the schema's alternatives",
    "oneOf": lambda _: "a value that fits exactly one of the schema's alternatives",
    "not": lambda _: "a value that the schema does not exclude",
    "falseSchema": lambda _: "no such field",
}


def _schema_words(error: jsonschema_rs.ValidationError) -> str:
    """What the metaschema asks; its `anyOf` would name no keyword of the author."""
    name, facts = error.kind.name, error.kind.as_dict()
    if name == "format":
        return f"a valid {facts['format']} (without look-around or back-references)"
    if name in _WORDS and name != "anyOf":
        return _WORDS[name](facts)
    return "what JSON Schema 2020-12 allows"
