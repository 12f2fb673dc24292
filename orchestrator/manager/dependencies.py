"""Why a plugin waits, and what makes it degraded: the plugins at the root of it. Pure.

A plugin that waits for one that waits itself is told what both wait for; a plugin that runs is told
which of those that it needs, be it by way of others, is down.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.model.lifecycle import LIFECYCLE
from orchestrator.model.status import PluginState, SubState

_ON_HOLD = frozenset({SubState.WAITING, SubState.HELD})
_UNSURE = frozenset({SubState.PENDING, SubState.ADOPTING})
"""Of a plugin that may well run, nobody is told that it is down."""
_GOING_NOWHERE = frozenset({SubState.HELD, SubState.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One plugin as those see it that need it."""

    needs: tuple[str, ...]
    sub_state: SubState
    why: str = ""
    """Why it does not run, in short."""

    @property
    def state(self) -> PluginState:
        return LIFECYCLE[self.sub_state].state

    @property
    def trouble(self) -> str:
        """`error: exit_code_1: …`, `starting`, … ."""
        name = self.state if self.state is PluginState.ERROR else self.sub_state
        return f"{name}: {self.why}" if self.why else str(name)


ABSENT = Member(needs=(), sub_state=SubState.STOPPED, why="it is not deployed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One plugin at the root of another's trouble."""

    root: str
    via: str
    """The plugin between them that the other needs itself; empty if it needs the root itself."""
    member: Member

    @property
    def hopeless(self) -> bool:
        """Whether waiting alone mends nothing soon."""
        return self.member.state is PluginState.ERROR or self.member.sub_state in _GOING_NOWHERE


def blockers(plugin_id: str, members: Mapping[str, Member]) -> tuple[Cause, ...]:
    """What a plugin that waits is waiting for."""
    return _distinct(_blockers(members[plugin_id].needs, members, via="", seen={plugin_id}))


def troubles(plugin_id: str, members: Mapping[str, Member]) -> tuple[Cause, ...]:
    """What a plugin needs that is down or in error."""
    return _distinct(_troubles(members[plugin_id].needs, members, via="", seen={plugin_id}))


def waiting_words(causes: tuple[Cause, ...]) -> str:
    """`waiting for b (starting), c, held by d (error: exit_code_1: …)`."""
    parts = [
        f"{cause.via}, held by {cause.root} ({cause.member.trouble})"
        if cause.via
        else f"{cause.root} ({cause.member.trouble})"
        for cause in causes
    ]
    return f"waiting for {', '.join(parts)}"


def degraded_words(causes: tuple[Cause, ...]) -> str:
    """`knowledge-search is down (error: exit_code_1: …), which indexer needs`."""
    return "; ".join(
        f"{cause.root} {_is(cause.member)}" + (f", which {cause.via} needs" if cause.via else "")
        for cause in causes
    )


def _is(member: Member) -> str:
    if member.sub_state is SubState.UNHEALTHY:
        return f"is in error ({member.why})" if member.why else "is in error"
    return f"is down ({member.trouble})"


def _blockers(
    needs: tuple[str, ...], members: Mapping[str, Member], *, via: str, seen: set[str]
) -> Iterator[Cause]:
    for name in needs:
        member = members.get(name, ABSENT)
        if member.state is PluginState.ACTIVE or member.sub_state is SubState.UNHEALTHY:
            continue
        if member.sub_state in _ON_HOLD and name not in seen:
            seen.add(name)
            inner = [*_blockers(member.needs, members, via=via or name, seen=seen)]
            if inner:
                yield from inner
                continue
        yield Cause(root=name, via=via, member=member)


def _troubles(
    needs: tuple[str, ...], members: Mapping[str, Member], *, via: str, seen: set[str]
) -> Iterator[Cause]:
    for name in needs:
        member = members.get(name, ABSENT)
        if member.state is PluginState.ACTIVE or member.sub_state in _UNSURE:
            if name not in seen:
                seen.add(name)
                yield from _troubles(member.needs, members, via=via or name, seen=seen)
        else:
            yield Cause(root=name, via=via, member=member)


def _distinct(causes: Iterator[Cause]) -> tuple[Cause, ...]:
    """Each root once; what a plugin needs itself comes before what others need."""
    found: dict[str, Cause] = {}
    for cause in sorted(causes, key=lambda cause: bool(cause.via)):
        found.setdefault(cause.root, cause)
    return tuple(found.values())
