"""overlay: a base manifest and a patch for one environment, merged. Pure; docs/overlays.md.

The rules are those of JSON Merge Patch (RFC 7396) with one addition: mappings merge deeply, what is
no mapping replaces, `null` removes, and a list replaces but for those of KEYED_LISTS, whose
elements merge by name. Every value keeps the place that it came from, so that what is wrong in the
merged manifest is told with the file and line of the base or of the patch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from orchestrator.model.problems import FieldPath, Position, Positions
from orchestrator.model.tree import Tree

KEYED_LISTS: tuple[FieldPath, ...] = (("spec", "permissions"),)
"""Elements: a plain name, or a mapping of one name to its parameters."""


def overlay(base: Tree, patch: Tree) -> Tree:
    """`base` with `patch` over it; problems without a place are the base's."""
    merger = _Merger()
    data = merger.merged((), _Side(base), _Side(patch))
    return Tree(file=base.file, data=data, positions=Positions(merger.positions))


@dataclass(frozen=True, slots=True)
class _Side:
    """A value of one of the two trees."""

    tree: Tree
    path: FieldPath = ()

    @property
    def value(self) -> JsonValue:
        value = self.tree.data
        for step in self.path:
            value = value[step]  # type: ignore[index]
        return value

    @property
    def position(self) -> Position | None:
        found = self.tree.positions.of(self.path)
        return Position(found.line, found.column, found.file or self.tree.file) if found else None

    def child(self, step: str | int) -> "_Side":
        return _Side(self.tree, (*self.path, step))

    def children(self) -> Mapping[str, "_Side"]:
        """Of a mapping; anything else has none."""
        value = self.value
        return {key: self.child(key) for key in value} if isinstance(value, dict) else {}

    def elements(self) -> Iterator["_Side"]:
        """Of a list; anything else has none."""
        value = self.value
        return (self.child(index) for index in range(len(value) if isinstance(value, list) else 0))


@dataclass(slots=True)
class _Merger:
    """Builds data and positions of the result side by side."""

    positions: dict[FieldPath, Position] = field(default_factory=dict)

    def merged(self, at: FieldPath, base: _Side | None, patch: _Side) -> JsonValue:
        if at in KEYED_LISTS and isinstance(patch.value, list):
            return self._keyed(at, base, patch)
        if isinstance(patch.value, dict):
            return self._mapping(at, base, patch)
        return self._taken(at, patch)

    def _mapping(self, at: FieldPath, base: _Side | None, patch: _Side) -> JsonValue:
        before = base.children() if base is not None else {}
        over = patch.children()
        self._place(at, base if base is not None and isinstance(base.value, dict) else patch)
        result: dict[str, JsonValue] = {}
        for key in dict.fromkeys((*before, *over)):
            here = (*at, key)
            if key not in over:
                result[key] = self._taken(here, before[key])
            elif over[key].value is None:
                self._place(here, over[key])  # whoever misses it is shown what removed it
            else:
                result[key] = self.merged(here, before.get(key), over[key])
        return result

    def _keyed(self, at: FieldPath, base: _Side | None, patch: _Side) -> JsonValue:
        # Without a base too: `- system_info: null` takes away, and must never come to grant.
        self._place(at, base if base is not None and isinstance(base.value, list) else patch)
        nameless = [one for one in patch.elements() if _name(one) is None]
        named: dict[str | None, list[_Side]] = {}
        for one in patch.elements():
            named.setdefault(_name(one), []).append(one)
        named.pop(None, None)
        result: list[JsonValue] = []
        for element in base.elements() if base is not None else ():
            over = named.get(_name(element), [])
            self._append(at, result, element, over.pop(0) if over else None)
        for element in (*(one for rest in named.values() for one in rest), *nameless):
            # What is no element, or stands there twice, is left for the manifest's own rules.
            self._append(at, result, None, element)
        return result

    def _append(
        self, at: FieldPath, result: list[JsonValue], base: _Side | None, patch: _Side | None
    ) -> None:
        """The element of a keyed list that comes of the two, if any does."""
        here = (*at, len(result))
        if patch is None and base is not None:
            result.append(self._taken(here, base))
        elif patch is None or _removes(patch):
            return
        elif isinstance(patch.value, dict) and _name(patch) is not None:
            named = base if base is not None and isinstance(base.value, dict) else None
            result.append(self.merged(here, named, patch))
        else:
            # A plain name says that it is there, and nothing of its parameters.
            result.append(self._taken(here, base or patch))

    def _taken(self, at: FieldPath, side: _Side) -> JsonValue:
        """A value as it stands on one side."""
        self._place(at, side)
        value = side.value
        if isinstance(value, dict):
            return {key: self._taken((*at, key), one) for key, one in side.children().items()}
        if isinstance(value, list):
            return [self._taken((*at, n), one) for n, one in enumerate(side.elements())]
        return value

    def _place(self, at: FieldPath, side: _Side) -> None:
        if (position := side.position) is not None:
            self.positions[at] = position


def _name(element: _Side) -> str | None:
    """What an element of a keyed list is called; None for one that is no such element."""
    match element.value:
        case str(name):
            return name
        case dict(mapping) if len(mapping) == 1:
            return next(iter(mapping))
        case _:
            return None


def _removes(element: _Side) -> bool:
    return isinstance(element.value, dict) and list(element.value.values()) == [None]
