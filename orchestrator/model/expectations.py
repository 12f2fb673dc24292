"""What a field expects, in words: read from the model's own JSON Schema, so it cannot go stale."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import BaseModel

from orchestrator.model.base import NAME_PATTERN, PLUGIN_ID_PATTERN
from orchestrator.model.git import TOKEN_USER_PATTERN
from orchestrator.model.info import EVENT_TYPE_PATTERN, TOOL_NAME_PATTERN
from orchestrator.model.manifest import HEADER_PATTERN
from orchestrator.model.permissions import HOST_PATTERN, ONE_HOST_PATTERN
from orchestrator.model.problems import FieldPath, shown
from orchestrator.model.secret_source import VARIABLE_PATTERN

KEY = "[key]"
"""How pydantic names a mapping's key in the place of an error."""

PATTERN_WORDS = {
    PLUGIN_ID_PATTERN: "at most 63 lower-case letters, digits and hyphens, a letter first",
    NAME_PATTERN: "at most 63 lower-case letters, digits, '-' and '_', a letter first",
    TOOL_NAME_PATTERN: "at most 64 lower-case letters, digits and '_', a letter first",
    EVENT_TYPE_PATTERN: "lower-case words joined by dots, such as order.created or order.*",
    ONE_HOST_PATTERN: "host:port in lower case, such as api.example.com:443",
    HEADER_PATTERN: "the name of an HTTP header, such as Authorization",
    TOKEN_USER_PATTERN: "at most 128 letters, digits, '_', '.', '@' and '-'",
    VARIABLE_PATTERN: "what follows ORCHESTRATOR_SECRET_ in a variable's name, in upper case",
    HOST_PATTERN: "host:port in lower case, such as api.example.com:443 or *.example.com:443",
}

_UNITS = {
    "_mb": " of MiB",
    "_sec": " of seconds",
    "_seconds": " of seconds",
    "_percent": " of percent of one core",
}
_PLAIN = {
    "boolean": "true or false",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}

# A JSON Schema is JSON of any shape; it stays in this module.
_Schema = dict[str, Any]


def expected_at(model: type[BaseModel], place: FieldPath) -> str:
    """What `model` expects at `place`, a pydantic error's `loc`."""
    root = _schema_of(model)
    if place and place[-1] == KEY:
        mapping = _descend(root, place[:-2])
        pattern = next(iter(mapping.get("patternProperties", {})), "")
        return _text({"pattern": pattern})
    name = next((step for step in reversed(place) if isinstance(step, str)), "")
    return _words(_descend(root, place), name)


def known_fields(model: type[BaseModel], place: FieldPath) -> tuple[str, ...]:
    """The names of the fields that `model` has at `place`."""
    fields = _descend(_schema_of(model), place).get("properties", {})
    # A permission's kind is written as its name, never as a field.
    return tuple(name for name, field in fields.items() if not (name == "kind" and _tags(field)))


def without_tags(model: type[BaseModel], place: FieldPath, data: object) -> FieldPath:
    """`place` as the file has it: no union tag where the file wrote none, no `[key]`."""
    root = _schema_of(model)
    path: list[str | int] = []
    for index, step in enumerate(place):
        is_tag = "discriminator" in _descend(root, place[:index])
        if step == KEY or (is_tag and not (isinstance(data, dict) and step in data)):
            continue
        path.append(step)
        data = _part(data, step)
    return tuple(path)


def _part(data: object, step: str | int) -> object:
    match data:
        case dict():
            return data.get(step)
        case list() if isinstance(step, int) and step < len(data):
            return data[step]
        case _:
            return None


def _tags(field: _Schema) -> bool:
    return "const" in field and "default" in field


@cache
def _schema_of(model: type[BaseModel]) -> _Schema:
    return model.model_json_schema(by_alias=True)


def _descend(root: _Schema, place: FieldPath) -> _Schema:
    node = _resolved(root, root)
    for step in place:
        node = _resolved(root, _child(node, step))
    return node


def _child(node: _Schema, step: str | int) -> _Schema:
    if isinstance(step, int):
        found = node.get("items", {})
    elif "discriminator" in node:
        found = {"$ref": node["discriminator"]["mapping"].get(step, "")}
    else:
        others = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        found = node.get("properties", {}).get(step) or others[0]
    return found if isinstance(found, dict) else {}


def _resolved(root: _Schema, node: _Schema) -> _Schema:
    """`node` without references, and without the `null` of an optional field."""
    if "anyOf" in node:
        node = next((part for part in node["anyOf"] if part.get("type") != "null"), {})
    while "$ref" in node:
        node = root["$defs"].get(node["$ref"].rpartition("/")[2], {})
    return node


def _words(node: _Schema, name: str) -> str:
    if "discriminator" in node:
        return one_of(node["discriminator"]["mapping"])
    if "const" in node or "enum" in node:
        return one_of(node.get("enum", [node.get("const")]))
    match node.get("type"):
        case "integer":
            return _whole_number(node, name)
        case "string":
            return _text(node)
        case other:
            return _PLAIN.get(other or "", "another value")


def one_of(values: Iterable[object]) -> str:
    """`one of a, b, c`; one value stands alone."""
    words = [value if isinstance(value, str) else shown(value) for value in values]
    return f"one of {', '.join(words)}" if len(words) > 1 else "".join(words)


def _whole_number(node: _Schema, name: str) -> str:
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    bounds = f", {node['minimum']} to {node['maximum']}" if "minimum" in node else ""
    return f"a whole number{unit}{bounds}"


def _text(node: _Schema) -> str:
    if pattern := node.get("pattern"):
        return PATTERN_WORDS[pattern]
    if longest := node.get("maxLength"):
        return f"text of {node.get('minLength', 0)} to {longest:,} characters"
    return "text that is not empty" if node.get("minLength") else "text"
