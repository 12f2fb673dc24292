"""A file's bytes as a Tree: what every file must be, whatever it says."""

from orchestrator.model.json_tree import parse_json
from orchestrator.model.problems import InvalidFile, Problem, shown
from orchestrator.model.tree import Tree
from orchestrator.model.yaml_tree import parse_yaml

MAX_BYTES = 1 << 20


def parse_tree(data: bytes, file: str) -> Tree:
    """`file` names the data in problems; if it ends in `.json` it must be JSON. Raises InvalidFile.

    At most 1 MiB, 10,000 keys and values, 64 levels; UTF-8; one document; every key once.
    """
    text = _decoded(data, file)
    return parse_json(text, file) if file.endswith(".json") else parse_yaml(text, file)


def _decoded(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise _refusal(file, None, "more than 1 MiB", "at most 1 MiB")
    try:
        # Editors on Windows put a byte order mark first.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{data[error.start]:02x}"
        raise _refusal(file, line, found, "text in UTF-8") from error
    if (at := text.find("\0")) >= 0:
        raise _refusal(file, text.count("\n", 0, at) + 1, shown("\0"), "text in UTF-8")
    return text


def _refusal(file: str, line: int | None, found: str, expected: str) -> InvalidFile:
    return InvalidFile([Problem(file=file, line=line, found=found, expected=expected)])
