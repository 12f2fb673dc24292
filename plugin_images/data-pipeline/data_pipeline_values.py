"""DuckDB's values as JSON's, without losing digits."""

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

_SAFE_INTEGER = (1 << 53) - 1
"""Beyond it many JSON readers round; such numbers travel as text."""


def to_json(values: Sequence[Any]) -> tuple[list[Any], int]:
    """A row in JSON's terms, and roughly how many bytes it takes."""
    row = [_value(value) for value in values]
    return row, sum(_size(value) for value in row)


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    if isinstance(value, float):
        # JSON has no NaN and no infinity.
        return value if math.isfinite(value) else None
    return _structured(value)


def _structured(value: Any) -> Any:
    match value:
        case dict():
            return {str(_value(key)): _value(item) for key, item in value.items()}
        case list() | tuple():
            return [_value(item) for item in value]
        case bytes() | bytearray():
            return bytes(value).hex()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            # Decimal, UUID: exact as text.
            return str(value)


def _size(value: Any) -> int:
    match value:
        case str():
            return 2 + 4 * len(value)
        case dict():
            return 2 + sum(len(key) + 4 + _size(item) for key, item in value.items())
        case list():
            return 2 + sum(1 + _size(item) for item in value)
        case _:
            return 8
