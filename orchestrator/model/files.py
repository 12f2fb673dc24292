"""Files that the models are read from: bounded, plain, and not led astray by a link."""

import os
import stat
from pathlib import Path

from orchestrator.model.parse import MAX_BYTES
from orchestrator.model.problems import InvalidFile, Problem

MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")


def read_file(path: Path) -> bytes:
    """At most one byte more than a file may have. Raises InvalidFile."""
    try:
        # Non-blocking, so that a named pipe cannot hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidFile([file_problem(path, "no plain file", "a plain file")])
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InvalidFile([file_problem(path, "nothing there", "a file")]) from error
    except OSError as error:
        found = f"an unreadable file ({error.strerror})"
        raise InvalidFile([file_problem(path, found, "a readable file")]) from error


def file_problem(path: Path, found: str, expected: str) -> Problem:
    """A problem of the file as a whole."""
    return Problem(file=str(path), found=found, expected=expected)


def beside(file: Path, relative: str) -> Path:
    """`relative` to the folder of `file`, absolute; links are left for the user of the path."""
    return Path(os.path.normpath(file.absolute().parent / relative))


def leads_outside(path: Path, folder: Path) -> bool:
    """Whether `path` is a link out of `folder`, or one that leads nowhere but to itself."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links; a name that no file can have
        return True
