"""Waves: in which order the plugins of a revision are taken up. Pure.

A plugin comes in its own wave, or later: never before what it needs. Within a wave the reconcile
loop starts what is needed first, as it always does.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What a plugin's manifest and metadata say of its order."""

    wave: int = 0
    needs: tuple[str, ...] = ()


def in_waves(plugins: Mapping[str, Placed]) -> tuple[tuple[str, ...], ...]:
    """The plugins by wave, by name within one; empty waves are none.

    Plugins that need each other in a circle are in the latest wave of them: that they cannot be is
    for the manager to say.
    """
    level = {name: placed.wave for name, placed in plugins.items()}
    for _ in plugins:
        raised = {
            name: max([level[name], *(level[n] for n in placed.needs if n in level)])
            for name, placed in plugins.items()
        }
        if raised == level:
            break
        level = raised
    numbers = sorted({*level.values()})
    return tuple(tuple(sorted(n for n, at in level.items() if at == wave)) for wave in numbers)
