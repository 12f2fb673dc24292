"""The gauges that plugins tell of themselves, held to what a series may be. Pure."""

import math
import re
from collections.abc import Iterable
from typing import Final

MAX_GAUGES: Final = 32
"""Of one plugin: the first by name."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RESERVED: Final = re.compile(r".*(_total|_bucket|_count|_sum|_info|_created)")
"""Endings that say of a metric that it is no gauge."""


def is_gauge_name(name: str) -> bool:
    """Whether a plugin may tell a number under that name."""
    return _NAME.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None


def custom_gauges(metrics: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Those that are exported."""
    fitting = [
        (name, value) for name, value in metrics if is_gauge_name(name) and math.isfinite(value)
    ]
    return sorted(fitting)[:MAX_GAUGES]
