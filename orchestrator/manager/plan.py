"""plan: the steps from what is to what should be. Pure, total, ordered, idempotent.

Level-triggered: it looks at states, never at what changed, and names only steps that may be taken
now. Whoever carries them out looks again and plans again; so a daemon killed at any instruction
goes on where it was, and order (dependencies first, dependants last on the way out) needs no
bookkeeping. What one plugin's containers need is in members.py.
"""

from collections.abc import Collection, Mapping, Sequence

from orchestrator.manager.actions import (
    LABEL_REQUIRES,
    WHOLE,
    Action,
    Plan,
    Remove,
    Sighting,
    Sleep,
    Want,
)
from orchestrator.manager.members import Turn, in_service
from orchestrator.manager.restart import History, next_start


def plan(
    wants: Mapping[str, Want],
    seen: Mapping[str, Sequence[Sighting]],
    histories: Mapping[str, History],
    *,
    busy: Mapping[str, Collection[str]],
    now: float,
) -> Plan:
    """The steps to take now.

    `histories` go by sandbox id; `busy` are the keys of the steps under way, by plugin: what they
    are about is left alone.
    """
    actions: list[Action] = [
        Remove(plugin_id=plugin_id, container_id=s.container_id, why="not wanted")
        for plugin_id in removals(wants, seen)
        for s in seen[plugin_id]
        if not {WHOLE, s.container_id, s.sandbox_id} & {*busy.get(plugin_id, ())}
    ]
    waiting: dict[str, str] = {}
    wakes: list[float] = []

    def due(sandbox_id: str) -> float | None:
        return next_start(histories.get(sandbox_id, History()), now=now)

    for plugin_id in sorted(wants):
        want, keys = wants[plugin_id], busy.get(plugin_id, ())
        if not want.running or WHOLE in keys:
            continue
        turn = Turn(
            want=want,
            sightings=seen.get(plugin_id, ()),
            absent=[name for name in want.dependencies if not is_available(name, wants, seen)],
            behind=[name for name in want.dependencies if not is_current(name, wants, seen)],
            busy=keys,
            due=due,
            now=now,
        )
        turn.take()
        actions += turn.actions
        wakes += turn.wakes
        if turn.waiting:
            waiting[plugin_id] = turn.waiting[0]
    return Plan(actions=tuple(actions), waiting=waiting, wake_at=min(wakes, default=None))


def is_available(
    plugin_id: str, wants: Mapping[str, Want], seen: Mapping[str, Sequence[Sighting]]
) -> bool:
    """Whether a call to the plugin would be answered, be it that it wakes the plugin up."""
    want = wants.get(plugin_id)
    if want is None or not want.running:
        return False
    return want.sleep is not Sleep.AWAKE or bool(in_service(want, seen.get(plugin_id, ())))


def is_current(
    plugin_id: str, wants: Mapping[str, Want], seen: Mapping[str, Sequence[Sighting]]
) -> bool:
    """Whether it is the wanted revision of the plugin that would answer the call."""
    want = wants.get(plugin_id)
    if want is None or not is_available(plugin_id, wants, seen):
        return False
    serving = in_service(want, seen.get(plugin_id, ()))
    return want.sleep is not Sleep.AWAKE or any(s.digest == want.digest for s in serving)


def removals(wants: Mapping[str, Want], seen: Mapping[str, Sequence[Sighting]]) -> list[str]:
    """Plugins to be taken away now: those that no other one to be taken away depends on."""
    unwanted = {
        plugin_id
        for plugin_id, sightings in seen.items()
        if sightings and not (plugin_id in wants and wants[plugin_id].running)
    }
    required = {
        name
        for plugin_id in unwanted
        for sighting in seen[plugin_id]
        for name in sighting.container.label(LABEL_REQUIRES).split(",")
        if name != plugin_id
    }
    # Labels of different revisions may form a circle: then order cannot matter to them.
    return sorted(unwanted - required) or sorted(unwanted)
