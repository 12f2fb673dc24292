"""Tree: a file's plain data with the line of every value; TreeBuilder: how both parsers grow one.

The bounds lie here, checked before a value is kept, so that neither parser can forget one.
"""

from dataclasses import dataclass, field

from pydantic import JsonValue

from orchestrator.model.problems import (
    FieldPath,
    InvalidFile,
    Position,
    Positions,
    Problem,
    dotted,
    shown,
)

MAX_NODES = 10_000
MAX_DEPTH = 64
MAX_DIGITS = 100
"""More digits than any number here needs; turning text into an integer costs their square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What a file holds, and where."""

    file: str
    data: JsonValue
    positions: Positions


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    container: dict[str, JsonValue] | list[JsonValue]
    path: FieldPath
    keys: dict[str, Position] = field(default_factory=dict)
    key: str | None = None


class TreeBuilder:
    """Takes keys, values, openings and closings in the order of the text."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._positions: dict[FieldPath, Position] = {}
        self._open: list[_Open] = []
        self._nodes = 0
        self._root: JsonValue = None

    @property
    def expects_key(self) -> bool:
        """Whether what comes next is a mapping's key."""
        return bool(self._open) and self._at_key(self._open[-1])

    def key(self, key: str, position: Position) -> None:
        """The next key of the innermost mapping; a second one of that name is refused."""
        self._count(position)
        top = self._open[-1]
        if (first := top.keys.get(key)) is not None:
            raise self.refusal(
                position,
                found=f"the key {shown(key)} again (it stands on line {first.line} already)",
                expected="every key once",
                path=(*top.path, key),
            )
        top.keys[key] = position
        top.key = key

    def value(self, value: JsonValue, position: Position) -> None:
        """A value without parts."""
        self._count(position)
        self._place(value, position)

    def open(self, container: dict[str, JsonValue] | list[JsonValue], position: Position) -> None:
        """An empty mapping or list, filled by what comes until `close`."""
        self._count(position)
        if len(self._open) >= MAX_DEPTH:
            raise self.refusal(
                position,
                found=f"more than {MAX_DEPTH} levels of nesting",
                expected=f"at most {MAX_DEPTH}",
            )
        path = self._place(container, position)
        self._open.append(_Open(container, path))

    def close(self) -> None:
        """The end of the innermost mapping or list."""
        self._open.pop()

    def tree(self) -> Tree:
        """What was built."""
        return Tree(file=self._file, data=self._root, positions=Positions(self._positions))

    def refusal(
        self, position: Position | None, *, found: str, expected: str, path: FieldPath = ()
    ) -> InvalidFile:
        """The error for the one problem that ends the reading of this file."""
        return InvalidFile(
            [
                Problem(
                    file=self._file,
                    line=position.line if position else None,
                    column=position.column if position else None,
                    field=dotted(path),
                    found=found,
                    expected=expected,
                )
            ]
        )

    @staticmethod
    def _at_key(top: _Open) -> bool:
        return isinstance(top.container, dict) and top.key is None

    def _place(self, value: JsonValue, position: Position) -> FieldPath:
        if not self._open:
            self._root = value
            self._positions[()] = position
            return ()
        top = self._open[-1]
        if isinstance(top.container, list):
            path: FieldPath = (*top.path, len(top.container))
            top.container.append(value)
        else:
            key = top.key or ""
            path, position, top.key = (*top.path, key), top.keys[key], None
            top.container[key] = value
        self._positions[path] = position
        return path

    def _count(self, position: Position) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self.refusal(
                position,
                found=f"more than {MAX_NODES:,} keys and values",
                expected=f"at most {MAX_NODES:,}",
            )
