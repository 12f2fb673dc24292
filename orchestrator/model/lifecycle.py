"""The life of a plugin as a table: sub-states, what each counts as, and which may follow which.

Nothing here is advanced by signals: the sub-state is read off what is wanted and what is there
(manager/statuses.py). The table says what may be read, and in what order; docs/lifecycle.md shows
the same, and tests hold table, page and code together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.model.status import PluginState, SubState


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sub-state."""

    state: PluginState
    """What the specification calls it."""
    meaning: str
    then: frozenset[SubState]
    """What may be seen next, beside ANYTIME."""


def _row(state: PluginState, meaning: str, *then: SubState) -> Row:
    return Row(state=state, meaning=meaning, then=frozenset(then))


_S = SubState
_ACTIVE, _INACTIVE, _ERROR = PluginState.ACTIVE, PluginState.INACTIVE, PluginState.ERROR

ANYTIME: Final = frozenset({_S.PENDING, _S.DRAINING, _S.STOPPING, _S.STOPPED})
"""What may follow everything: it is wanted no more, or otherwise, or there is no news of it."""

LIFECYCLE: Final[Mapping[SubState, Row]] = MappingProxyType(
    {
        _S.PENDING: _row(
            _INACTIVE,
            "it is wanted, and nothing is known of it for the moment",
            *(_S.WAITING, _S.HELD, _S.PREPARING, _S.STARTING, _S.ADOPTING, _S.RESTARTING),
            *(_S.RUNNING, _S.DEGRADED, _S.BACKING_OFF, _S.GAVE_UP, _S.IDLE),
        ),
        _S.WAITING: _row(
            _INACTIVE,
            "it waits for plugins that it needs, and they are on their way",
            *(_S.HELD, _S.PREPARING, _S.STARTING, _S.RESTARTING),
        ),
        _S.HELD: _row(
            _INACTIVE,
            "it waits for plugins that it needs, and one of them failed or is stopped",
            *(_S.WAITING, _S.PREPARING, _S.STARTING, _S.RESTARTING),
        ),
        _S.PREPARING: _row(
            _INACTIVE,
            "its image is built or looked for",
            *(_S.WAITING, _S.HELD, _S.STARTING, _S.BACKING_OFF, _S.GAVE_UP),
        ),
        _S.STARTING: _row(
            _INACTIVE,
            "its container is made, started and initialised",
            *(_S.RUNNING, _S.DEGRADED, _S.BACKING_OFF, _S.GAVE_UP, _S.RESTARTING),
        ),
        _S.ADOPTING: _row(
            _INACTIVE,
            "it runs, and a new daemon is about to take it over",
            *(_S.RUNNING, _S.DEGRADED, _S.STARTING, _S.BACKING_OFF, _S.GAVE_UP, _S.HELD),
            *(_S.WAITING, _S.RESTARTING, _S.PAUSED, _S.IDLE),
        ),
        _S.DRAINING: _row(
            _INACTIVE,
            "it finishes its calls before it is stopped, and takes no new ones",
            *(_S.WAITING, _S.HELD, _S.PREPARING, _S.STARTING, _S.IDLE),
        ),
        _S.STOPPING: _row(
            _INACTIVE,
            "its container is stopped",
            *(_S.WAITING, _S.HELD, _S.PREPARING, _S.STARTING, _S.BACKING_OFF, _S.GAVE_UP, _S.IDLE),
        ),
        _S.STOPPED: _row(
            _INACTIVE,
            "it does not run, as is wanted",
            *(_S.WAITING, _S.HELD, _S.PREPARING, _S.STARTING),
        ),
        _S.RUNNING: _row(
            _ACTIVE,
            "it takes calls, and all is well",
            *(_S.DEGRADED, _S.UNHEALTHY, _S.BACKING_OFF, _S.GAVE_UP, _S.STUCK, _S.RESTARTING),
            *(_S.UPDATING, _S.PAUSED, _S.IDLE, _S.HELD, _S.WAITING, _S.ROLLED_BACK),
        ),
        _S.DEGRADED: _row(
            _ACTIVE,
            "it takes calls, but says itself that something is amiss, or a plugin it needs is down",
            *(_S.RUNNING, _S.UNHEALTHY, _S.BACKING_OFF, _S.GAVE_UP, _S.STUCK, _S.RESTARTING),
            *(_S.UPDATING, _S.PAUSED, _S.IDLE, _S.HELD, _S.WAITING, _S.ROLLED_BACK),
        ),
        _S.UPDATING: _row(
            _ACTIVE,
            "it takes calls, and another revision is brought up beside it",
            *(_S.RUNNING, _S.DEGRADED, _S.ROLLED_BACK, _S.PAUSED, _S.BACKING_OFF, _S.GAVE_UP),
            *(_S.UNHEALTHY, _S.STUCK, _S.RESTARTING),
        ),
        _S.ROLLED_BACK: _row(
            _ACTIVE,
            "the revision before takes calls, since the one that is wanted failed",
            *(_S.UPDATING, _S.RUNNING, _S.DEGRADED, _S.UNHEALTHY, _S.BACKING_OFF, _S.GAVE_UP),
            *(_S.STUCK, _S.RESTARTING, _S.IDLE),
        ),
        _S.PAUSED: _row(
            _ACTIVE,
            "it takes calls, and its rollout stands still until it is resumed",
            *(_S.UPDATING, _S.RUNNING, _S.DEGRADED, _S.ROLLED_BACK, _S.BACKING_OFF, _S.STUCK),
            *(_S.UNHEALTHY, _S.RESTARTING, _S.GAVE_UP),
        ),
        _S.IDLE: _row(
            _ACTIVE,
            "nobody called it for long, so it sleeps; the next call wakes it up",
            *(_S.RUNNING, _S.STARTING, _S.DEGRADED, _S.HELD, _S.WAITING, _S.PREPARING),
            *(_S.RESTARTING, _S.BACKING_OFF),
        ),
        _S.UNHEALTHY: _row(
            _ERROR,
            "it takes calls, but says of itself that it is in error, or answered a probe wrongly",
            *(_S.RUNNING, _S.DEGRADED, _S.STUCK, _S.BACKING_OFF, _S.GAVE_UP, _S.RESTARTING),
            *(_S.UPDATING, _S.IDLE, _S.HELD, _S.WAITING),
        ),
        _S.RESTARTING: _row(
            _ERROR,
            "it failed, and is started again",
            *(_S.RUNNING, _S.DEGRADED, _S.BACKING_OFF, _S.GAVE_UP, _S.STUCK),
            *(_S.HELD, _S.WAITING),
        ),
        _S.BACKING_OFF: _row(
            _ERROR,
            "it failed, and is started again when its back-off is over",
            *(_S.RESTARTING, _S.HELD, _S.WAITING, _S.PREPARING, _S.GAVE_UP, _S.RUNNING),
            *(_S.ROLLED_BACK, _S.STARTING),
        ),
        _S.STUCK: _row(
            _ERROR,
            "it no longer works, and is about to be killed",
            *(_S.BACKING_OFF, _S.GAVE_UP, _S.RESTARTING),
        ),
        _S.GAVE_UP: _row(
            _ERROR,
            "it failed too often; the next `up` tries again",
            *(_S.WAITING, _S.HELD, _S.PREPARING, _S.STARTING, _S.ROLLED_BACK),
        ),
        _S.UNFIT: _row(
            _ERROR,
            "it is left as it was: this orchestrator cannot take it up",
        ),
    }
)


def may_follow(before: SubState, after: SubState) -> bool:
    """Whether the table lets `after` be seen next."""
    return before is after or after in ANYTIME or after in LIFECYCLE[before].then


def diagram() -> str:
    """The table as a mermaid diagram: one box a state, without ANYTIME."""
    lines = ["stateDiagram-v2"]
    for state in PluginState:
        lines.append(f"    state {state} {{")
        lines += [f"        {sub}" for sub, row in LIFECYCLE.items() if row.state is state]
        lines.append("    }")
    lines += [
        f"    {before} --> {after}"
        for before, row in LIFECYCLE.items()
        for after in SubState
        if after in row.then
    ]
    return "\n".join(lines) + "\n"
