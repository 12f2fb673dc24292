"""The gauges that plugins tell of themselves, held to what a series may be."""

import math
import re
from collections.abc import Iterable, Set
from typing import Final

MAX_GAUGES: Final = 32
"""Names of one revision of a plugin: the first that it told, and of those told at once by name."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RESERVED: Final = re.compile(r".*(_total|_bucket|_count|_sum|_info|_created)")
"""Endings that say of a metric that it is no gauge."""


def is_gauge_name(name: str) -> bool:
    """Whether a plugin may tell a number under that name."""
    return _NAME.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None


def custom_gauges(metrics: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Those that may be exported, by name."""
    return sorted(
        (name, value) for name, value in metrics if is_gauge_name(name) and math.isfinite(value)
    )


class CustomNames:
    """Which names each plugin's gauges have, once it has told them.

    Prometheus keeps a series for hours after its last value: a plugin that told other names each
    time would fill its memory, and nobody's metrics would be kept any more.
    """

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, set[str]]] = {}
        """Plugin → (its revision, names)."""

    def admitted(
        self, plugin_id: str, revision: str, metrics: Iterable[tuple[str, float]]
    ) -> list[tuple[str, float]]:
        """Those of a report that are exported; another revision may have other names."""
        known, names = self._names.get(plugin_id, ("", set()))
        if known != revision:
            names = set()
        found = []
        for name, value in custom_gauges(metrics):
            if name in names or len(names) < MAX_GAUGES:
                names.add(name)
                found.append((name, value))
        self._names[plugin_id] = (revision, names)
        return found

    def prune(self, known: Set[str]) -> None:
        """Forget plugins that are deployed no more."""
        for gone in self._names.keys() - known:
            del self._names[gone]
