"""JSON text as a Tree.

Not through the YAML parser, which refuses JSON's surrogate pairs and takes what is no JSON; not
through `json.loads`, which keeps no lines and forgets duplicate keys.
"""

import bisect
import json
import math
import re
from collections.abc import Callable

from pydantic import JsonValue

from orchestrator.model.problems import InvalidFile, Position, shown
from orchestrator.model.tree import MAX_DIGITS, Tree, TreeBuilder

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}
_STRINGS = json.JSONDecoder()
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def parse_json(text: str, file: str) -> Tree:
    """The one value in `text`. Raises InvalidFile."""
    return _Parser(text, file).parse()


class _Parser:
    """Recursive descent; TreeBuilder's bound on depth keeps it off the end of the stack."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._builder = TreeBuilder(file)
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._at = 0

    def parse(self) -> Tree:
        if not self._peek():
            raise self._builder.refusal(None, found="an empty file", expected="a JSON object")
        self._value()
        if self._peek():
            raise self._unexpected("the end of the file")
        return self._builder.tree()

    def _value(self) -> None:
        start = self._peek()
        position = self._position()
        match start:
            case "{":
                self._builder.open({}, position)
                self._parts(self._member, "}")
            case "[":
                self._builder.open([], position)
                self._parts(self._value, "]")
            case '"':
                self._builder.value(self._string(), position)
            case _:
                self._builder.value(self._word_or_number(), position)

    def _parts(self, part: Callable[[], None], end: str) -> None:
        self._at += 1
        if self._peek() != end:
            part()
            while self._peek() == ",":
                self._at += 1
                part()
            if self._peek() != end:
                raise self._unexpected(f"',' or '{end}'")
        self._at += 1
        self._builder.close()

    def _member(self) -> None:
        if self._peek() != '"':
            raise self._unexpected("a key in double quotes")
        position = self._position()
        self._builder.key(self._string(), position)
        if self._peek() != ":":
            raise self._unexpected("':'")
        self._at += 1
        self._value()

    def _string(self) -> str:
        start = self._at
        try:
            text, self._at = _STRINGS.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._refusal(f"broken JSON: {error.msg}", "a string in double quotes") from error
        if not isinstance(text, str) or _SURROGATE.search(text):
            self._at = start
            raise self._refusal("half of a surrogate pair", "whole characters")
        return text

    def _word_or_number(self) -> JsonValue:
        if (word := _WORD.match(self._text, self._at)) is not None:
            self._at = word.end()
            return _WORDS[word.group()]
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._unexpected("a value")
        return self._number(number)

    def _number(self, match: re.Match[str]) -> JsonValue:
        text = match.group()
        if len(text) <= MAX_DIGITS:
            value = int(text) if match.group(2, 3) == (None, None) else float(text)
            if math.isfinite(value):
                self._at = match.end()
                return value
        raise self._refusal(shown(text), f"a finite number of at most {MAX_DIGITS} digits")

    def _peek(self) -> str:
        """The next character that is no space, empty at the end."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _position(self) -> Position:
        line = bisect.bisect_right(self._line_starts, self._at)
        return Position(line, self._at - self._line_starts[line - 1] + 1)

    def _unexpected(self, expected: str) -> InvalidFile:
        found = self._peek()
        return self._refusal(f"broken JSON: {shown(found) if found else 'the end'}", expected)

    def _refusal(self, found: str, expected: str) -> InvalidFile:
        return self._builder.refusal(self._position(), found=found, expected=expected)
