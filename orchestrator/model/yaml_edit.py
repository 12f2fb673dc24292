"""with_scalar: YAML text with one value replaced, and everything else as it was, byte for byte.

Comments, quotes, indentation and order stay, since nothing is written anew: the value's own
characters are exchanged where the parser says they are. What comes out is read again to prove it.
"""

import json
import re
from copy import deepcopy

import yaml
from pydantic import JsonValue

from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import FieldPath, InvalidFile, problem_at
from orchestrator.model.tree import Tree
from orchestrator.model.yaml_tree import is_text

_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/:@+-]*[A-Za-z0-9])?")
"""What needs no quotes wherever it stands."""


def with_scalar(data: bytes, file: str, path: FieldPath, new: str) -> bytes:
    """`data` with the text at `path` being `new`. Raises InvalidFile."""
    before = parse_tree(data, file)
    expected = _exchanged(before, path, new)
    text = data.decode("utf-8")
    try:
        node = _at(yaml.compose(text, Loader=yaml.SafeLoader), path)
    except yaml.YAMLError:  # JSON with tabs between its values, say
        raise _cannot(before, path) from None
    start, end = node.start_mark.index, node.end_mark.index
    written = json.dumps(new) if file.endswith(".json") else _written(new, node.style)
    after = (text[:start] + written + text[end:]).encode()
    if parse_tree(after, file).data != expected:
        raise _cannot(before, path)
    return after


def _exchanged(tree: Tree, path: FieldPath, new: str) -> JsonValue:
    """The file's data as it is to be."""
    whole = deepcopy(tree.data)
    value = whole
    for step in path[:-1]:
        value = value.get(str(step)) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(value.get(str(path[-1])), str):
        raise InvalidFile(
            [problem_at(tree.file, tree.positions, path, found="no text", expected="text")]
        )
    value[str(path[-1])] = new
    return whole


def _at(node: yaml.Node | None, path: FieldPath) -> yaml.ScalarNode:
    """The value's node; `_exchanged` saw that there is one."""
    for step in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for key, value in pairs if key.value == step), None)
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.YAMLError
    return node


def _written(text: str, style: str | None) -> str:
    """In the quotes that were there; in double ones where a value cannot do without."""
    if style == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if style is None and _PLAIN.fullmatch(text) and is_text(text):
        return text
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{"".join(escaped)}"'


def _cannot(tree: Tree, path: FieldPath) -> InvalidFile:
    found, expected = "a value that cannot be exchanged in its place", "YAML, or JSON without tabs"
    return InvalidFile(
        [problem_at(tree.file, tree.positions, path, found=found, expected=expected)]
    )
