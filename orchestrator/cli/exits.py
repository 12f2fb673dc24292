"""Exit codes, in this one place: by the kind of error, after sysexits.h where it has a word."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.errors import Kind

OK: Final = 0
CHANGES: Final = 2
"""`plan`: something would change."""
USAGE: Final = 64
INTERRUPTED: Final = 130

BY_KIND: Final[Mapping[Kind, int]] = MappingProxyType(
    {
        Kind.INVALID: 65,
        Kind.NOT_FOUND: 66,
        Kind.UNAVAILABLE: 69,
        Kind.INTERNAL: 70,
        Kind.CONFLICT: 73,
        Kind.EXHAUSTED: 74,
        Kind.OVERLOADED: 75,
        Kind.PLUGIN: 76,
        Kind.DENIED: 77,
        Kind.TIMEOUT: 124,
    }
)
