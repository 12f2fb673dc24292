"""YAML text as a Tree, read from the parser's event stream: bounds hold before anything exists.

Plain scalars follow YAML 1.2's core schema: only `true` and `false` are booleans, dates stay text.
Tags, anchors and aliases are refused: a manifest needs none, and YAML attacks are made of them.
"""

import math
import re
from collections.abc import Iterable
from typing import Protocol

import yaml
from pydantic import JsonValue

from orchestrator.model.problems import InvalidFile, Position, shown
from orchestrator.model.tree import MAX_DIGITS, Tree, TreeBuilder

# libyaml where PyYAML was built with it: about ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS: dict[str, JsonValue] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class _Mark(Protocol):
    """Where an event is; libyaml's and PyYAML's own marks share no base."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class _UnusableNumber(ValueError):
    """A number that JSON, and hence every model, cannot hold."""


def parse_yaml(text: str, file: str) -> Tree:
    """The one document in `text`. Raises InvalidFile."""
    builder = TreeBuilder(file)
    try:
        _build(yaml.parse(text, Loader=_LOADER), builder)
    except yaml.MarkedYAMLError as error:
        raise _broken(text, error, builder) from error
    except yaml.YAMLError as error:
        what = str(error).splitlines()[0]
        raise builder.refusal(None, found=f"broken YAML: {what}", expected="YAML 1.2") from error
    return builder.tree()


def is_text(plain: str) -> bool:
    """Whether a scalar without quotes is read as this very text."""
    try:
        return _plain_value(plain) == plain
    except _UnusableNumber:
        return False


def _build(events: Iterable[yaml.Event], builder: TreeBuilder) -> None:
    documents = 0
    for event in events:
        match event:
            case yaml.NodeEvent():
                _node(event, builder)
            case yaml.CollectionEndEvent():
                builder.close()
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise builder.refusal(
                        _position(event.start_mark),
                        found="a second document",
                        expected="one document in a file",
                    )
            case _:
                pass
    if not documents:
        raise builder.refusal(None, found="an empty file", expected="a mapping of fields")


def _node(event: yaml.NodeEvent, builder: TreeBuilder) -> None:
    position = _position(event.start_mark)
    _refuse_extras(event, position, builder)
    match event:
        case yaml.ScalarEvent():
            _scalar(event, position, builder)
        case _ if builder.expects_key:
            raise builder.refusal(position, found="a list or mapping as a key", expected="text")
        case yaml.MappingStartEvent():
            builder.open({}, position)
        case _:
            builder.open([], position)


def _refuse_extras(event: yaml.NodeEvent, position: Position, builder: TreeBuilder) -> None:
    if event.anchor is not None:
        mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
        raise builder.refusal(
            position,
            found=f"the {'alias' if mark == '*' else 'anchor'} {shown(mark + event.anchor)}",
            expected="every value written where it stands",
        )
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise builder.refusal(
            position, found=f"the tag {shown(tag)}", expected="plain values without tags"
        )


def _scalar(event: yaml.ScalarEvent, position: Position, builder: TreeBuilder) -> None:
    plain = event.implicit[0]
    try:
        value = _plain_value(event.value) if plain else event.value
    except _UnusableNumber as error:
        raise builder.refusal(
            position,
            found=shown(event.value),
            expected=f"a finite number of at most {MAX_DIGITS} digits",
        ) from error
    if not builder.expects_key:
        builder.value(value, position)
    elif isinstance(value, str):
        builder.key(value, position)
    else:
        raise builder.refusal(
            position, found=f"{shown(value)} as a key", expected="text; in quotes if it must be so"
        )


def _plain_value(text: str) -> JsonValue:
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(_within_digits(text), base)
    if _FLOAT.fullmatch(text):
        return _finite(float(_within_digits(text)))
    if _NOT_FINITE.fullmatch(text):
        raise _UnusableNumber
    return text


def _within_digits(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise _UnusableNumber
    # `0o17` is YAML 1.2's octal and Python's too; nothing to rewrite.
    return text


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise _UnusableNumber
    return number


def _broken(text: str, error: yaml.MarkedYAMLError, builder: TreeBuilder) -> InvalidFile:
    what = ", ".join(part for part in (error.problem, error.context) if part)
    position = _position(error.problem_mark)
    lines = text.splitlines() or [""]
    if position.line > len(lines):
        # libyaml puts what is missing at the end behind the last line.
        position = Position(len(lines), len(lines[-1]) + 1)
    at_tab = lines[position.line - 1][position.column - 1 :].startswith("\t")
    return builder.refusal(
        position,
        found=f"broken YAML: {what}",
        expected="spaces, never tabs" if at_tab else "YAML 1.2",
    )


def _position(mark: _Mark | None) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
