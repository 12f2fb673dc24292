"""Problem: one thing wrong in a file, with its line; InvalidFile: all of them at once."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError

FieldPath = tuple[str | int, ...]
"""Where a value lies in a file: `("spec", "permissions", 0)`."""

_SHOWN_CHARACTERS = 60
_HUGE = 10**_SHOWN_CHARACTERS
"""Python refuses to print integers of more than 4,300 digits."""
_SHOWN_PROBLEMS = 50
"""More help nobody, and a hostile file must not fill a terminal; `InvalidFile.problems` has all."""


@dataclass(frozen=True, slots=True)
class Position:
    """Counted from 1, as editors do."""

    line: int
    column: int
    file: str = ""
    """Set where a tree was put together from several files; empty: the tree's own."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the values of a tree lie; a value that is missing lies where its parent does."""

    known: Mapping[FieldPath, Position] = field(default_factory=dict)

    def of(self, path: FieldPath) -> Position | None:
        """The position of `path`, or of its nearest parent that the file holds."""
        for length in range(len(path), -1, -1):
            if (position := self.known.get(path[:length])) is not None:
                return position
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong: where, what was found, what was expected."""

    file: str
    line: int | None = None
    column: int | None = None
    field: str = ""
    """Dotted: `spec.permissions[0].external_api.hosts[1]`; empty for the file as a whole."""
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, self.field] if self.field else [place]
        text = f"{': '.join(parts)}: found {self.found}, expected {self.expected}"
        return f"{text} ({self.hint})" if self.hint else text

    def to_json(self) -> dict[str, JsonValue]:
        """The fields under their own names, for `--json` and for HTTP problems."""
        return asdict(self)


def problem_at(
    file: str,
    positions: Positions,
    path: FieldPath,
    *,
    found: str,
    expected: str,
    hint: str = "",
) -> Problem:
    """A problem of the value at `path`, with its line or its nearest parent's."""
    position = positions.of(path)
    return Problem(
        file=(position.file if position else "") or file,
        line=position.line if position else None,
        column=position.column if position else None,
        field=dotted(path),
        found=found,
        expected=expected,
        hint=hint,
    )


class InvalidFile(OrchestratorError):
    """Files that say what they must not; carries every problem of every file."""

    kind, code = Kind.INVALID, "invalid_file"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:_SHOWN_PROBLEMS]]
        if (more := len(self.problems) - _SHOWN_PROBLEMS) > 0:
            lines.append(f"and {more} more")
        super().__init__("\n".join(lines))


def dotted(path: FieldPath) -> str:
    """`("spec", "permissions", 0)` as `spec.permissions[0]`; odd keys are cut and quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _is_plain(step) else shown(step)
            text += f".{name}" if text else name
    return text


def shown(value: object) -> str:
    """A value from a file as a message shows it: short, on one line, control characters escaped."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return repr(_cut(value))
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case int() if abs(value) >= _HUGE:
            return "a huge number"
        case _:
            return _cut(str(value))


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean …?` if one of `known` is close to `name`, else empty."""
    # Cut, since comparing is quadratic and the name is a stranger's.
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else ""


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= _SHOWN_CHARACTERS and name.isprintable() and not set(name) & set(" .[]")


def _cut(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[: _SHOWN_CHARACTERS - 1]}…"
