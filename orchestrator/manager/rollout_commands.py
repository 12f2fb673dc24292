"""RolloutCommands: what an operator says to the rollout of a plugin; audited, with who and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from orchestrator.errors import OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.manager import OPERATOR, PluginManager
from orchestrator.manager.revisions import (
    Note,
    NothingToUndo,
    Revision,
    RevisionState,
    Rollout,
    undo_target,
)
from orchestrator.manager.way_back import as_asked
from orchestrator.model.audit import AuditOutcome, evidence_of
from orchestrator.model.events import EventName


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is said of which plugin, by whom and why."""

    plugin_id: str
    who: str = OPERATOR
    why: str = ""


class RolloutCommands:
    """One per daemon. They come one at a time, and after any `up`."""

    def __init__(self, *, manager: PluginManager, bus: PluginEventBus, clerk: Clerk) -> None:
        self._manager = manager
        self._bus = bus
        self._clerk = clerk

    def history(self, plugin_id: str) -> dict[str, JsonValue]:
        """Every revision that is kept. Raises PluginNotFound."""
        rollout = self._rollout(plugin_id)
        status = self._manager.rollouts.status(plugin_id)
        return {
            "plugin_id": plugin_id,
            "rollout": asdict(status) if status is not None else None,
            "revisions": [revision_row(revision) for revision in rollout.revisions],
        }

    async def undo(self, wish: Wish, to: int | None) -> dict[str, JsonValue]:
        """Want an earlier revision again.

        Raises PluginNotFound, RevisionNotFound, NothingToUndo, and what `up` raises.
        """
        async with self._manager.one:
            try:
                answer = await self._undo(wish, to)
            except OrchestratorError as error:
                self._refused("undo", wish, error)
                raise
            self._done("undo", wish, answer)
            return answer

    async def pause(self, wish: Wish) -> dict[str, JsonValue]:
        """From now on nothing of the plugin is replaced. Raises PluginNotFound."""
        async with self._manager.one:
            rollout = self._rollout(wish.plugin_id)
            changed = self._manager.rollouts.set_paused(wish.plugin_id, paused=True)
            answer: dict[str, JsonValue] = {"changed": changed, "revision": rollout.wanted.number}
            self._done("pause", wish, answer)
        if changed:
            self._tell(EventName.ROLLOUT_PAUSED, wish, answer)
        return answer

    async def resume(self, wish: Wish) -> dict[str, JsonValue]:
        """Let a paused rollout go on; try a revision that failed again.

        Raises PluginNotFound, PermissionRefused and its kin.
        """
        async with self._manager.one:
            rollout = self._rollout(wish.plugin_id)
            try:
                retried = self._manager.rollouts.retry(wish.plugin_id) is not None
            except OrchestratorError as error:
                self._refused("resume", wish, error)
                raise
            unpaused = self._manager.rollouts.set_paused(wish.plugin_id, paused=False)
            answer: dict[str, JsonValue] = {
                "changed": retried or unpaused,
                "retried": retried,
                "revision": rollout.wanted.number,
            }
            self._done("resume", wish, answer)
        if retried or unpaused:
            self._tell(EventName.ROLLOUT_RESUMED, wish, answer)
        return answer

    # -------------------------------------------------------------------------------------------

    async def _undo(self, wish: Wish, to: int | None) -> dict[str, JsonValue]:
        name, rollout = wish.plugin_id, self._rollout(wish.plugin_id)
        target, wanted = undo_target(name, rollout, to), rollout.wanted
        inputs = as_asked(target.inputs, wanted.inputs)
        today = self._manager.rollouts.weigh(inputs)
        if today.compiled.digest == wanted.digest:
            raise NothingToUndo(
                f"{name}: found revision {target.number}, which is under today's policy the same "
                f"as revision {wanted.number} that is wanted already, expected another one"
            )
        why = f": {wish.why}" if wish.why else ""
        words = f"undo of revision {wanted.number}, back to {target.number}{why}"
        note = Note(who=wish.who, why=words, undoes=wanted.number, undoes_of=name)
        await self._manager.take(inputs, note)
        return {
            "revision": self._rollout(name).wanted.number,
            "undone": wanted.number,
            "back_to": target.number,
            "version": target.inputs.info.version,
            "origin": wanted.inputs.origin,
        }

    def _rollout(self, plugin_id: str) -> Rollout:
        self._manager.deployment(plugin_id)
        return self._manager.rollouts.of(plugin_id)

    def _tell(self, event: EventName, wish: Wish, answer: Mapping[str, JsonValue]) -> None:
        data = {**answer, "who": wish.who, "why": wish.why}
        self._bus.publish(event, wish.plugin_id, data)
        self._manager.loop.wake()

    def _done(self, verb: str, wish: Wish, answer: Mapping[str, JsonValue]) -> None:
        data = {"command": f"rollout {verb}", "user": wish.who, **answer}
        self._clerk.rollout(AuditOutcome.DONE, wish.plugin_id, why=wish.why, data=data)

    def _refused(self, verb: str, wish: Wish, error: OrchestratorError) -> None:
        data: dict[str, JsonValue] = {"command": f"rollout {verb}", "user": wish.who}
        data |= evidence_of(error) | {"found": str(error)}
        self._clerk.rollout(AuditOutcome.REFUSED, wish.plugin_id, why=wish.why, data=data)


def failed_row(rollout: Rollout) -> dict[str, JsonValue] | None:
    """The wanted revision, if it failed."""
    failed = rollout.wanted.state is RevisionState.FAILED
    return revision_row(rollout.wanted) if failed else None


def revision_row(revision: Revision) -> dict[str, JsonValue]:
    """As `rollout history` has it."""
    return {
        "revision": revision.number,
        "version": revision.inputs.info.version,
        "state": revision.state,
        "reason": revision.reason,
        "last_words": asdict(revision.words),
        "digest": revision.digest,
        "image": revision.inputs.image,
        "at": revision.at,
        "who": revision.who,
        "why": revision.why,
    }
