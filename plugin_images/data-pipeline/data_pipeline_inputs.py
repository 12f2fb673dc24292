"""From what a call names as inputs to the files that DuckDB may read, and nothing else.

An input is a file of a granted share, an earlier output, or rows in the call itself (which become
a file in the call's own folder, so that DuckDB alone decides on types).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

FORMATS = ("csv", "json", "parquet")
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
"""No underscore in front: such names are the engine's own."""
_GLOB = frozenset("*?[]{}")


class InputRefused(ValueError):
    """An input that is malformed, or lies where this plugin may not read."""


class InputMissing(ValueError):
    """No file lies where an input says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table: its name in SQL, the file behind it and how it is read."""

    table: str
    file: Path
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where inputs may come from."""

    shares: Mapping[str, Path]
    """Granted shares by name."""
    outputs: Path
    work: Path
    """The call's own folder."""

    def resolve(self, inputs: Mapping[str, Mapping[str, Any]]) -> list[Source]:
        """Every input's file, checked. Raises InputRefused and InputMissing."""
        return [self._source(table, wanted) for table, wanted in inputs.items()]

    def _source(self, table: str, wanted: Mapping[str, Any]) -> Source:
        if not _TABLE.fullmatch(table):
            raise InputRefused(f"inputs: {table!r} found, a name like {_TABLE.pattern} expected")
        kinds = [kind for kind in ("share", "output", "rows") if kind in wanted]
        match kinds:
            case ["rows"]:
                return self._inline(table, wanted["rows"])
            case ["output"]:
                return self._output(table, str(wanted["output"]))
            case ["share"]:
                return self._shared(table, wanted)
            case _:
                found = ", ".join(kinds) or "none"
                raise InputRefused(
                    f"inputs.{table}: {found} found, exactly one of share, output and rows expected"
                )

    def _inline(self, table: str, rows: Sequence[Mapping[str, Any]]) -> Source:
        if not rows:
            raise InputRefused(f"inputs.{table}: no rows found, at least one expected")
        file = self.work / f"{table}.ndjson"
        with file.open("w", encoding="utf-8", errors="replace") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
        return Source(table=table, file=file, format="json")

    def _output(self, table: str, name: str) -> Source:
        file = find_output(self.outputs, name)
        if file is None:
            raise InputMissing(f"inputs.{table}: there is no output {name!r}")
        return Source(table=table, file=file, format=file.suffix[1:])

    def _shared(self, table: str, wanted: Mapping[str, Any]) -> Source:
        share, path = str(wanted["share"]), str(wanted.get("path", ""))
        if share not in self.shares:
            granted = ", ".join(self.shares) or "none"
            raise InputRefused(
                f"inputs.{table}: share {share!r} is not granted to this plugin; granted: {granted}"
            )
        file = file_in(self.shares[share], path, label=f"inputs.{table}")
        return Source(table=table, file=file, format=_format_of(table, path, wanted.get("format")))


def file_in(root: Path, path: str, *, label: str) -> Path:
    """The plain file at `path` beneath `root`, links resolved and still beneath it.

    Raises InputRefused and InputMissing.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise InputRefused(
            f"{label}: expected a path inside the share, without '..', found {path!r}"
        )
    if _GLOB.intersection(path):
        # DuckDB would take such a name as a pattern and look for other files.
        raise InputRefused(f"{label}: expected the name of one file, found the pattern {path!r}")
    try:
        file = (root / pure).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InputMissing(f"{label}: nothing readable lies at {path!r}") from error
    if not file.is_relative_to(root.resolve()):
        raise InputRefused(f"{label}: {path!r} is a link that leads out of the share")
    if not file.is_file():
        raise InputMissing(f"{label}: {path!r} is no file")
    return file


def find_output(outputs: Path, name: str) -> Path | None:
    """The file that holds the output of that name, whatever its format."""
    files = (outputs / f"{name}.{kind}" for kind in FORMATS)
    return next((file for file in files if file.is_file()), None)


def _format_of(table: str, path: str, stated: object) -> str:
    if stated in FORMATS:
        return str(stated)
    suffix = PurePosixPath(path.removesuffix(".gz")).suffix.lower()
    if stated is None and suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    raise InputRefused(
        f"inputs.{table}: format {stated or suffix or path!r} found, {', '.join(FORMATS)} expected"
    )
