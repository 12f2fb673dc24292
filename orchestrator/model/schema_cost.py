"""What a stranger's JSON Schema may cost: bounded before a validator sees it, and per value.

A schema can ask for exponential work in few lines (two alternatives that both refer back to the
schema double it with every level of the value), and no validator stops. So the number of times
that any part of a value can be visited is computed from the schema, for every depth.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from urllib.parse import unquote

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.problems import FieldPath, dotted, shown

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_NODES = 5_000
MAX_SCHEMA_DEPTH = 64
MAX_REFERENCES = 1_000

_WEIGHT_CEILING = 10**9
"""Far beyond what any value is allowed; keeps the sums small."""
_CHARACTERS_PER_NODE = 16

_IN_PLACE_ONE = ("not", "if", "then", "else")
_IN_PLACE_LIST = ("allOf", "anyOf", "oneOf")
_IN_PLACE_MAPPING = ("dependentSchemas", "dependencies")
_ANY_CHILD = (
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
)


class InvalidSchema(OrchestratorError):
    """Not a JSON Schema 2020-12, or one that reaches outside itself or costs too much."""

    kind, code = Kind.INVALID, "invalid_schema"

    def __init__(self, path: FieldPath, *, found: str, expected: str) -> None:
        place = f"{dotted(path)}: " if path else ""
        super().__init__(f"JSON Schema: {place}found {found}, expected {expected}")
        self.path, self.found, self.expected = path, found, expected


@dataclass(slots=True)
class _Node:
    """One subschema: what it applies to the same value, and what to the value's parts."""

    own: int = 1
    in_place: list[FieldPath] = field(default_factory=list)
    by_key: list[FieldPath] = field(default_factory=list)
    """At most one of them applies to any one part."""
    any_child: list[FieldPath] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Measure:
    """How big a JSON value is."""

    size: int
    """Values and keys, long text counted as several."""
    depth: int


def measure(value: object) -> Measure:
    """Without recursion: a value may be nested deeper than any stack."""
    size, deepest = 0, 0
    rest = [(value, 0)]
    while rest:
        item, depth = rest.pop()
        size += 1
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            size += len(item)
            rest.extend((part, depth + 1) for part in item.values())
        elif isinstance(item, list | tuple):
            rest.extend((part, depth + 1) for part in item)
        elif isinstance(item, str):
            size += len(item) // _CHARACTERS_PER_NODE
    return Measure(size, deepest)


def part_at(value: object, path: FieldPath) -> object:
    """The part of `value` at `path`, None where there is none."""
    for step in path:
        match value:
            case dict():
                value = value.get(step)
            case list() | tuple() if isinstance(step, int) and step < len(value):
                value = value[step]
            case _:
                return None
    return value


class SchemaCost:
    """Raises InvalidSchema for a schema that is too big, or refers outside or to itself."""

    def __init__(self, schema: object) -> None:
        self._schema = schema
        self._nodes: dict[FieldPath, _Node] = {}
        self._references = 0
        self._refuse_size()
        self._anchors: dict[str, FieldPath] = {}
        self._name_anchors()
        self._read()
        self._order = self._in_order()
        self._weights: list[dict[FieldPath, int]] = []

    def visits(self, depth: int) -> int:
        """How often, at most, one part of a value `depth` deep is visited, with all above it."""
        while len(self._weights) <= depth:
            if len(self._weights) > 1 and self._weights[-1] == self._weights[-2]:
                # Not recursive: deeper values cost no more.
                return self._weights[-1][()]
            below = self._weights[-1] if self._weights else {}
            here: dict[FieldPath, int] = {}
            for path in self._order:
                here[path] = self._weight(self._nodes[path], here, below)
            self._weights.append(here)
        return self._weights[depth][()]

    @staticmethod
    def _weight(node: _Node, here: dict[FieldPath, int], below: dict[FieldPath, int]) -> int:
        parts = [below.get(path, 0) for path in node.any_child]
        by_key = max((below.get(path, 0) for path in node.by_key), default=0)
        in_place = [here[path] for path in node.in_place]
        return min(node.own + sum(in_place) + by_key + sum(parts), _WEIGHT_CEILING)

    def _refuse_size(self) -> None:
        size = measure(self._schema)
        if size.depth > MAX_SCHEMA_DEPTH:
            raise InvalidSchema(
                (),
                found=f"{size.depth} levels of nesting",
                expected=f"at most {MAX_SCHEMA_DEPTH}",
            )
        if size.size > MAX_SCHEMA_NODES:
            raise InvalidSchema(
                (), found=f"a size of {size.size:,}", expected=f"at most {MAX_SCHEMA_NODES:,}"
            )

    def _name_anchors(self) -> None:
        """Also in what no reference reaches: an `$id` or a twin would change what others mean."""
        for name, path in _named(self._schema, ()):
            if path[-1] == "$id" and len(path) > 1:
                raise InvalidSchema(path, found=shown(name), expected="no $id below the top")
            if path[-1] != "$id" and self._anchors.setdefault(name, path[:-1]) != path[:-1]:
                raise InvalidSchema(
                    path, found=f"the anchor {shown(name)} again", expected="every anchor once"
                )

    def _read(self) -> None:
        unread: list[FieldPath] = [()]
        while unread:
            path = unread.pop()
            if path in self._nodes:
                continue
            node = self._nodes[path] = _Node()
            schema = part_at(self._schema, path)
            if isinstance(schema, dict):
                self._fill(node, schema, path)
            unread += [*node.in_place, *node.by_key, *node.any_child]

    def _fill(self, node: _Node, schema: dict[str, JsonValue], path: FieldPath) -> None:
        dialect = schema.get("$schema", DIALECT)
        if dialect not in (DIALECT, f"{DIALECT}#"):
            raise InvalidSchema((*path, "$schema"), found=shown(dialect), expected=DIALECT)
        node.own += sum(measure(schema[word]).size for word in ("enum", "const") if word in schema)
        required = schema.get("required")
        node.own += len(required) if isinstance(required, list) else 0
        for word, part in schema.items():
            self._keyword(node, word, part, (*path, word))
        if "unevaluatedProperties" in schema or "unevaluatedItems" in schema:
            # What is unevaluated is found by evaluating everything in place a second time.
            node.in_place *= 2

    def _keyword(self, node: _Node, word: str, part: JsonValue, path: FieldPath) -> None:
        if word in ("$ref", "$dynamicRef"):
            node.in_place.append(self._target(part, path))
        elif word in _IN_PLACE_ONE:
            node.in_place.append(path)
        elif word in _IN_PLACE_LIST or word in _IN_PLACE_MAPPING:
            node.in_place += _below(part, path)
        elif word in ("properties", "prefixItems"):
            node.by_key += _below(part, path)
        elif word == "patternProperties":
            node.any_child += _below(part, path)
        elif word in _ANY_CHILD:
            node.any_child.append(path)

    def _target(self, reference: JsonValue, path: FieldPath) -> FieldPath:
        self._references += 1
        if self._references > MAX_REFERENCES:
            raise InvalidSchema(
                path,
                found=f"more than {MAX_REFERENCES:,} references",
                expected=f"at most {MAX_REFERENCES:,}",
            )
        if not isinstance(reference, str) or not reference.startswith("#"):
            # Nothing is ever fetched: no network, no file.
            raise InvalidSchema(
                path, found=shown(reference), expected="a reference within it, such as #/$defs/x"
            )
        target = self._pointed(unquote(reference[1:]))
        if target is None:
            raise InvalidSchema(
                path, found=shown(reference), expected="a place that the schema has"
            )
        return target

    def _pointed(self, fragment: str) -> FieldPath | None:
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        path: FieldPath = ()
        for step in fragment.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            is_list = isinstance(part_at(self._schema, path), list)
            path = (*path, int(name) if is_list and name.isdecimal() else name)
            if part_at(self._schema, path) is None:
                return None
        return path

    def _in_order(self) -> list[FieldPath]:
        graph = {path: node.in_place for path, node in self._nodes.items()}
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise InvalidSchema(
                error.args[1][0],
                found="a reference that leads back to itself",
                expected="recursion only through the parts of a value",
            ) from error


def _below(part: JsonValue, path: FieldPath) -> list[FieldPath]:
    match part:
        case dict():
            return [(*path, name) for name in part]
        case list():
            return [(*path, index) for index in range(len(part))]
        case _:
            return []


def _named(part: object, path: FieldPath) -> Iterator[tuple[str, FieldPath]]:
    """Every `$id` and anchor, wherever it stands: (name, path)."""
    match part:
        case dict():
            for word in ("$id", "$anchor", "$dynamicAnchor"):
                if isinstance(name := part.get(word), str):
                    yield name, (*path, word)
            for name, child in part.items():
                yield from _named(child, (*path, name))
        case list():
            for index, child in enumerate(part):
                yield from _named(child, (*path, index))
        case _:
            pass
