"""AuditLedger: how the brokers tell the audit log of what a plugin does without end.

The log only grows, and a plugin chooses how often it asks and for what. So one rule bounds every
broker's entries, refused or allowed: each is told at once while the bucket has tokens; after that
those of the same kind and target become one entry, which says how many `times` and adds up their
numbers. Nothing is left out: the sums of all entries are what happened. What a client repeats by
its nature, a quota that is used up say, is a sum from the second one on, so that it leaves the
tokens to others.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from orchestrator.model.audit import AuditEntry, Auditor
from orchestrator.sandbox.meter import TokenBucket

ENTRIES_BURST: Final = 20
ENTRIES_PER_MINUTE: Final = 12
MAX_TARGETS: Final = 16
"""Held back at the same time; further ones of a kind are one sum, as a plugin makes up names."""
QUIET_SECONDS: Final = 10.0
"""What repeats by its nature is told once in so long, whatever tokens there are."""
MAX_WHY_CHARACTERS: Final = 500
_OTHERS: Final = "others"
_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})

_Key = tuple[str, str, str]
"""What was done, of which kind, to which target."""


@dataclass(slots=True)
class _Held:
    """Entries of one key that are not told yet."""

    newest: AuditEntry
    repeats: bool = False
    times: int = 0
    sums: Counter[str] = field(default_factory=Counter)

    def entry(self, *, at: float) -> AuditEntry:
        data: dict[str, JsonValue] = {**self.newest.data}
        data.update({name: _rounded(number) for name, number in self.sums.items()})
        if self.times > 1:
            data["times"] = self.times
        return replace(self.newest, at=at, why=self.newest.why[:MAX_WHY_CHARACTERS], data=data)


class AuditLedger:
    """One broker's of one plugin; used on the loop."""

    def __init__(
        self, *, auditor: Auditor, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._auditor = auditor
        self._now = now
        self._monotonic = monotonic
        self._bucket = TokenBucket(
            per_second=ENTRIES_PER_MINUTE / 60, burst=ENTRIES_BURST, now=monotonic
        )
        self._held: dict[_Key, _Held] = {}
        """In the order in which they are told."""
        self._quiet_until: dict[_Key, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def open(self) -> None:
        """The broker listens: again, maybe."""
        self._closed = False

    def note(
        self,
        entry: AuditEntry,
        *,
        kind: str,
        target: Mapping[str, JsonValue],
        adds: Mapping[str, float] = _NOTHING,
        repeats: bool = False,
    ) -> None:
        """One thing that happened; `target` is part of its data, and so are the sums of `adds`.

        `repeats`: it does so by its nature.
        """
        held = self._of(entry, kind, target)
        held.repeats = repeats
        held.times += 1
        held.sums.update(adds)
        if self._closed:  # what was under way when the broker closed: as much as it had open
            self._tell_all()
        else:
            self._tell_what_may()

    def close(self) -> None:
        """Tell what was held back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell_all()

    def _of(self, entry: AuditEntry, kind: str, target: Mapping[str, JsonValue]) -> _Held:
        what = f"{entry.action}/{entry.outcome}"
        key = (what, kind, json.dumps(dict(target), sort_keys=True))
        if key not in self._held and len(self._held) >= MAX_TARGETS:
            key = (what, kind, _OTHERS)
            left = {name: value for name, value in entry.data.items() if name == "code"}
            why = f"several targets, of the last one: {entry.why}"
            entry = replace(entry, why=why, data={**left, "targets": _OTHERS})
        held = self._held.setdefault(key, _Held(entry))
        held.newest = entry
        return held

    def _tell_what_may(self) -> None:
        now = self._monotonic()
        for key in list(self._held):
            if now < self._quiet_until.get(key, now):
                continue
            if not self._bucket.take():
                break
            self._tell(key)
        if self._held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(60 / ENTRIES_PER_MINUTE, self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._tell_what_may()

    def _tell_all(self) -> None:
        while self._held:
            self._tell(next(iter(self._held)))

    def _tell(self, key: _Key) -> None:
        held = self._held.pop(key)
        self._quiet_until.pop(key, None)
        if held.repeats:
            self._quiet_until[key] = self._monotonic() + QUIET_SECONDS
            if len(self._quiet_until) > MAX_TARGETS:
                del self._quiet_until[next(iter(self._quiet_until))]
        self._auditor.record(held.entry(at=self._now()))


def _rounded(number: float) -> int | float:
    return number if isinstance(number, int) else round(number, 3)
