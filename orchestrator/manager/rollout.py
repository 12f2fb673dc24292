"""Rollouts: keeps the revisions of every plugin, judges the wanted ones, and goes back.

It moves nothing itself: it says which revision is wanted in effect (`fleet.deployments`) and which
earlier one may run beside it (`fleet.earlier`); `plan` does the rest. What the operator asked for
stays in the desired records, and is told apart by `asked`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from orchestrator.clock import Clock
from orchestrator.engine.base import EngineUnavailable
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.actions import Sighting
from orchestrator.manager.deployment import Deployment, Inputs
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.last_words import Listener
from orchestrator.manager.outlook import outlook, well_seconds
from orchestrator.manager.revision_records import REVISIONS, stored_rollouts, to_rollout_record
from orchestrator.manager.revisions import (
    Note,
    RevisionState,
    Rollout,
    Signal,
    Verdict,
    fall_back,
    judge,
    retry,
    take,
)
from orchestrator.manager.rollout_words import rollout_status, told_of
from orchestrator.manager.way_back import WayBack, as_asked
from orchestrator.model.events import EventName
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.status import RolloutStatus
from orchestrator.store.base import StoreUnavailable

RETRY_SECONDS: Final = 1.0
MAX_GAP_SECONDS: Final = 30.0
"""Between two looks at what is not decided: there is one at least every half of it, while the
engine answers."""


class Rollouts:
    """One per daemon; its plugins are those that are wanted."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        way_back: WayBack,
        listener: Listener,
        bus: PluginEventBus,
        clock: Clock,
    ) -> None:
        self._fleet = fleet
        self._way_back = way_back
        self._listener = listener
        self._bus = bus
        self._clock = clock
        self._rollouts: dict[str, Rollout] = {}
        self._since: dict[str, float] = {}
        """Plugin → since when its wanted revision could have come up, by the monotonic clock."""
        self._judged_at = clock.monotonic()
        self._unwritten: set[str] = set()
        self._policy = SecurityPolicy()
        self.completed_total = 0
        self.failed_total = 0
        self.rolled_back_total = 0
        fleet.rollout_of = self.status

    def of(self, plugin_id: str) -> Rollout:
        """That of a plugin that is wanted."""
        return self._rollouts[plugin_id]

    def asked(self, deployment: Deployment) -> Inputs:
        """What the operator wants of the plugin, whatever runs instead."""
        rollout = self._rollouts.get(deployment.plugin_id)
        return rollout.wanted.inputs if rollout and rollout.back_to else deployment.inputs

    def status(self, plugin_id: str) -> RolloutStatus | None:
        """How it goes, for `ps` and `status`; None where there is nothing to tell."""
        rollout = self._rollouts.get(plugin_id)
        deployment = self._fleet.deployments.get(plugin_id)
        if rollout is None or deployment is None:
            return None
        well = well_seconds(self._fleet, plugin_id)
        return rollout_status(deployment, rollout, well_seconds=well, policy=self._policy.rollout)

    # -- what is wanted -------------------------------------------------------------------------

    def restore(self, policy: SecurityPolicy) -> None:
        """As an earlier daemon left it, under `fleet.deployments` as they were asked for."""
        self._policy = policy
        self._rollouts = stored_rollouts(self._fleet.store)
        note = Note(who="orchestrator", why="the daemon found it wanted when it started")
        self._fleet.deployments = self._taken(dict(self._fleet.deployments), note)
        for name, rollout in self._rollouts.items():
            self._mark(name, rollout)

    def commit(
        self, wanted: Mapping[str, Deployment], policy: SecurityPolicy, note: Note
    ) -> dict[str, Deployment]:
        """Make revisions of what is wanted from now on; what is to run of it.

        Raises StoreUnavailable.
        """
        self._policy = policy
        gone = self._rollouts.keys() - wanted.keys()
        self._fleet.store.put_all(REVISIONS, dict.fromkeys(gone))
        for name in gone:
            self._forget(name)
        return self._taken(wanted, note)

    def replaced(self, new: Deployment, note: Note) -> bool:
        """A plugin was weighed anew, as something was granted or revoked.

        Whether it is what the operator asked for; else it is what runs instead, and what failed
        stays where it is.
        """
        name = new.plugin_id
        rollout = self._rollouts.get(name)
        if rollout is None or not rollout.back_to:
            self._taken({name: new}, note)
            return True
        runs = replace(rollout.effective, inputs=new.inputs, digest=new.compiled.digest)
        rollout = rollout.with_revision(runs)
        asked, _ = self._way_back.weighed(rollout.wanted.inputs, self._policy)
        if asked is not None:
            failed = replace(rollout.wanted, digest=asked.compiled.digest)
            rollout = rollout.with_revision(failed)
        self._put(name, rollout)
        return False

    def _taken(self, wanted: Mapping[str, Deployment], note: Note) -> dict[str, Deployment]:
        """Those to be, in effect."""
        effective: dict[str, Deployment] = {}
        for name, deployment in wanted.items():
            before = self._rollouts.get(name)
            rollout = take(
                before,
                deployment.inputs,
                deployment.compiled.digest,
                note=note.about(name),
                at=self._clock.now(),
                keep=self._policy.rollout.history,
            )
            if rollout != before:
                self._note(name, rollout)
            if before is None or before.wanted.number != rollout.wanted.number:
                self._since.pop(name, None)
                self._tell_started(name, rollout)
            effective[name] = self._in_effect(rollout, deployment)
            self._remember_earlier(name, effective[name])
        self._write()
        return effective

    def _in_effect(self, rollout: Rollout, asked: Deployment) -> Deployment:
        if not rollout.back_to:
            return asked
        deployment, _ = self._way_back.weighed(
            as_asked(rollout.effective.inputs, asked.inputs), self._policy
        )
        # What cannot even be decided any more is no revision to go back to: the asked one is tried.
        return deployment or asked

    def _remember_earlier(self, name: str, effective: Deployment) -> None:
        """What may still run while the wanted revision comes up, as it would be today."""
        self._fleet.earlier.pop(name, None)
        rollout = self._rollouts[name]
        if not rollout.is_open:
            return
        for revision in rollout.healthy:
            deployment, _ = self._way_back.weighed(
                as_asked(revision.inputs, effective.inputs), self._policy
            )
            if deployment and deployment.compiled.digest != effective.compiled.digest:
                self._fleet.earlier[name] = {deployment.compiled.digest: deployment}
                return

    # -- what becomes of it ---------------------------------------------------------------------

    async def judge(self, now: float, policy: SecurityPolicy) -> float | None:
        """Once per pass; when to come again though nothing happened."""
        self._policy = policy
        self._skip_gap()
        names = [name for name, rollout in self._rollouts.items() if rollout.is_open]
        seen = self._fleet.seen() if names else {}
        judged = [await self._judge(name, seen.get(name, ())) for name in names]
        self._write()
        wakes = [wake for wake in judged if wake is not None]
        return now + min(wakes) if wakes else None

    def _skip_gap(self) -> None:
        """Time in which nobody looked, as the engine did not answer say, counts against nobody."""
        at = self._clock.monotonic()
        gap, self._judged_at = at - self._judged_at, at
        if gap > MAX_GAP_SECONDS:
            self._since = {name: since + gap for name, since in self._since.items()}

    async def _judge(self, name: str, sightings: Sequence[Sighting]) -> float | None:
        """Seconds until it is to be judged again."""
        deployment = self._fleet.deployments.get(name)
        rollout = self._rollouts.get(name)  # now: another plugin's turn may have taken a while
        if deployment is None or rollout is None or not rollout.is_open:
            return None
        at = self._clock.monotonic()
        found = outlook(self._fleet, deployment, sightings)
        if found.waits or rollout.paused or not found.running:
            self._since.pop(name, None)
        elapsed = at - self._since.setdefault(name, at)
        policy = self._policy.rollout
        verdict = judge(rollout, found, elapsed=elapsed, policy=policy)
        if verdict is not None:
            try:
                await self._carry_out(name, rollout, deployment, verdict)
            except EngineUnavailable:
                return RETRY_SECONDS
            return None
        if rollout.wanted.state is not RevisionState.PROGRESSING:
            return None
        left = min(MAX_GAP_SECONDS / 2, max(0.0, policy.progress_deadline_seconds - elapsed))
        if found.well_seconds is not None:
            left = min(left, max(0.0, policy.min_healthy_seconds - found.well_seconds))
        return left

    async def _carry_out(
        self, name: str, rollout: Rollout, deployment: Deployment, verdict: Verdict
    ) -> None:
        if verdict.signal is Signal.FAIL:
            await self._fail(name, rollout, deployment, verdict.reason)
            return
        if verdict.signal is Signal.SUCCEED:
            await self._way_back.keep(deployment)
            if self._rollouts.get(name) is not rollout:
                return  # something else was wanted meanwhile
        self._note(name, rollout.with_revision(rollout.wanted.after(verdict.signal)))
        if verdict.signal is Signal.SUCCEED:
            self._fleet.earlier.pop(name, None)
            self.completed_total += 1
            self._bus.publish(EventName.ROLLOUT_COMPLETED, name, told_of(rollout.wanted))

    async def _fail(self, name: str, rollout: Rollout, deployment: Deployment, reason: str) -> None:
        number, target, obstacles = await self._way_back.find(rollout, deployment, self._policy)
        words = await self._listener.before_rollback(deployment, gone=target is not None)
        if self._rollouts.get(name) is not rollout:
            return  # something else was wanted meanwhile
        if target is not None:
            # Once more, without a wait: what was revoked meanwhile must not come back.
            target, obstacles = self._way_back.today(target, deployment, self._policy)
            number = number if target is not None else 0
        if target is None and rollout.healthy:
            reason = f"{reason}; nothing to go back to: {obstacles}"
        # On disk before it is done: a daemon killed here must not try what failed again.
        self._put(name, fall_back(rollout, reason, to=number, words=words))
        self.failed_total += 1
        # Not what it said: events reach other plugins.
        data = told_of(rollout.wanted) | {"reason": reason, "repairs": [*words.repairs]}
        self._bus.publish(EventName.ROLLOUT_FAILED, name, data)
        if target is not None:
            self._fleet.earlier.pop(name, None)
            self._fleet.deployments[name] = target
            self._fleet.forgive(name)
            self._fleet.touch(name)
            self.rolled_back_total += 1
            data = {**data, "to_revision": number, "to_version": target.inputs.info.version}
            self._bus.publish(EventName.ROLLOUT_ROLLED_BACK, name, data)

    # -- commands -------------------------------------------------------------------------------

    def weigh(self, inputs: Inputs) -> Deployment:
        """Inputs as they would be decided today. Raises PermissionRefused and its kin."""
        return self._way_back.settle(inputs, self._policy)

    def set_paused(self, name: str, *, paused: bool) -> bool:
        """Whether that changed anything."""
        rollout = self._rollouts[name]
        if rollout.paused == paused:
            return False
        self._put(name, replace(rollout, paused=paused))
        return True

    def retry(self, name: str) -> Deployment | None:
        """What failed is wanted in effect again; None if nothing failed.

        Raises PermissionRefused and its kin.
        """
        rollout = self._rollouts[name]
        if rollout.wanted.state is not RevisionState.FAILED:
            return None
        deployment = self.weigh(rollout.wanted.inputs)
        self._put(name, retry(rollout))
        self._since.pop(name, None)
        self._fleet.deployments[name] = deployment
        self._fleet.forgive(name)
        self._fleet.touch(name)
        self._remember_earlier(name, deployment)
        return deployment

    # -------------------------------------------------------------------------------------------

    def _forget(self, name: str) -> None:
        self._rollouts.pop(name, None)
        self._unwritten.discard(name)
        self._since.pop(name, None)
        self._fleet.earlier.pop(name, None)
        self._fleet.paused.discard(name)
        self._fleet.rolled_back.discard(name)

    def _put(self, name: str, rollout: Rollout) -> None:
        """In mind though the disk is full: a rollback cannot wait for that."""
        self._note(name, rollout)
        self._write()

    def _note(self, name: str, rollout: Rollout) -> None:
        """In mind, until it is written with others: a thousand plugins are one transaction."""
        self._rollouts[name] = rollout
        self._mark(name, rollout)
        self._unwritten.add(name)

    def _write(self) -> None:
        if not self._unwritten:
            return
        records = {name: to_rollout_record(self._rollouts[name]) for name in self._unwritten}
        try:
            self._fleet.store.put_all(REVISIONS, records)
        except StoreUnavailable as error:
            self._fleet.store_trouble = str(error)
        else:
            self._unwritten.clear()

    def _mark(self, name: str, rollout: Rollout) -> None:
        """What `plan` has to know of it."""
        for names, holds in (
            (self._fleet.paused, rollout.paused),
            (self._fleet.rolled_back, bool(rollout.back_to)),
        ):
            (names.add if holds else names.discard)(name)

    def _tell_started(self, name: str, rollout: Rollout) -> None:
        wanted = rollout.wanted
        data = {**told_of(wanted), "who": wanted.who, "why": wanted.why}
        self._bus.publish(EventName.ROLLOUT_STARTED, name, data)
