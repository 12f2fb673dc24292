"""CodeSandbox: runs code that was handed in, each piece in a container of its own, used once.

The common case (no permission, the policy's own limits) takes a sandbox that waits in the warm
pool; everything else starts one. Whatever the code does costs its own container and nothing else.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.engine.base import ContainerNotFound, EngineEventKind, ImageNotFound
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome, evidence_of
from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import LimitsOverride
from orchestrator.model.permissions import Permission
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.compile import Site
from orchestrator.sandbox.call import CallFailure, FailureCode
from orchestrator.sandbox.code_box import BoxMaker, CodeBox, CodeStartFailed, job_of
from orchestrator.sandbox.code_pool import PoolState, WarmPool
from orchestrator.sandbox.code_result import CodeEnd, CodeResult, read_answer
from orchestrator.sandbox.code_spec import BoxPlan, Wish, plan_box, timeout_of

OOM_SECONDS: Final = 0.3
"""How long the engine's word about memory is waited for, once a run was killed."""
RETRY_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 15.0


class CodeOverloaded(OrchestratorError):
    """As many runs as policy allows are under way or wait."""

    kind, code = Kind.OVERLOADED, "code_overloaded"


class CodeSandboxClosed(OrchestratorError):
    """The daemon is going down, or not up yet."""

    kind, code = Kind.UNAVAILABLE, "code_sandbox_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the daemon knows and a run is decided from; each is asked anew for every run."""

    policy: Callable[[], SecurityPolicy]
    site: Callable[[tuple[str, ...]], Site]
    """Site for these shares; raises for those that cannot be used."""
    languages: Callable[[str], Awaitable[tuple[PluginInfo, str]]]
    """Language → its runner's metadata and image; CodeImages.ensure."""


class CodeSandbox:
    """`run` is its life; before it and after `close` every call is refused."""

    def __init__(self, *, maker: BoxMaker, ground: Ground, auditor: Auditor, clock: Clock) -> None:
        self.told: Callable[[str, float], object] = lambda _reason, _seconds: None
        """Told of each run: how it ended, or the code of the error; seconds with all waiting."""
        self._maker = maker
        self._ground = ground
        self._auditor = auditor
        self._clock = clock
        self._pools: dict[str, WarmPool] = {}
        self._languages: dict[str, tuple[PluginInfo, str]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._running = self._waiting = 0
        self._freed = asyncio.Condition()

    async def run(self) -> None:
        """For ever, until cancelled; takes its containers away on the way out."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                await self._sweep()
                self._group = group
                try:
                    await asyncio.Event().wait()
                finally:
                    self._group = None  # a group that is being cancelled takes no more tasks
        finally:
            await self.close()

    async def close(self) -> None:
        """Refuse what comes and remove every sandbox; runs under way end as `sandbox_lost`."""
        self._group = None
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._maker.boxes:
                    await asyncio.gather(*map(self._remove, list(self._maker.boxes.values())))
                await self._sweep()
        except TimeoutError:
            return  # the next start sweeps

    def pools(self) -> dict[str, PoolState]:
        """By language; empty before the first run."""
        return {language: pool.state for language, pool in self._pools.items()}

    async def execute_plugin_code(
        self,
        code: str,
        context: JsonValue,
        *,
        language: str = "python",
        permissions: tuple[Permission, ...] = (),
        limits: LimitsOverride | None = None,
        timeout_seconds: float | None = None,
        actor: str = "operator",
    ) -> CodeResult:
        """Run `code` once, in a sandbox of its own. What the code does wrong is in the result.

        Raises LanguageUnknown, PermissionRefused, CodePermissionUnsupported, CodeOverloaded,
        CodeStartFailed, CodeSandboxClosed and the engine's errors: then no code was run.
        """
        wish = Wish(language=language, permissions=permissions, limits=limits or LimitsOverride())
        entry, began = self._entry(code, wish, actor), self._clock.monotonic()
        try:
            async with self._place():
                plan = await self._plan(wish)
                seconds = timeout_of(plan, timeout_seconds)
                body = job_of(code, context, seconds, self._ground.policy().code)
                result = await self._run_in_box(plan, language, body, seconds)
        except OrchestratorError as error:
            self.told(error.code, self._clock.monotonic() - began)
            why, data = f"{error.code}: {error}", {**entry.data, **evidence_of(error)}
            self._auditor.record(replace(entry, outcome=AuditOutcome.REFUSED, why=why, data=data))
            raise
        self.told(result.reason, self._clock.monotonic() - began)
        done = AuditOutcome.DONE if result.reason is CodeEnd.OK else AuditOutcome.FAILED
        self._auditor.record(replace(entry, outcome=done, why=result.reason))
        return result

    # -- one run --------------------------------------------------------------------------------

    async def _run_in_box(
        self, plan: BoxPlan, language: str, body: bytes, seconds: float
    ) -> CodeResult:
        box = self._pool(language).take(plan.compiled.digest)
        result = await self._attempt(box, body, seconds) if box is not None else None
        if result is None:
            # None was warm, or it died while it waited and nothing of the code was run.
            result = await self._attempt(await self._make(plan), body, seconds)
        if result is None:
            raise CodeStartFailed("the sandbox ended before it took the code")
        return result

    async def _make(self, plan: BoxPlan) -> CodeBox:
        try:
            return await self._maker.make(plan, made_at=0.0, on_change=_nobody)
        except ImageNotFound:
            self._languages.clear()  # somebody removed it: the next run builds it again
            raise

    async def _attempt(self, box: CodeBox, body: bytes, seconds: float) -> CodeResult | None:
        """The one run of this box; None if it was dead before it took anything."""
        try:
            if box.paused or box.lock.locked():
                await self._maker.wake(box)
            started = self._clock.monotonic()
            answer = await box.run(body, timeout_seconds=seconds)
            if isinstance(answer, CallFailure) and answer.code is FailureCode.PLUGIN_NOT_RUNNING:
                return None
            duration = round(self._clock.monotonic() - started, 6)
            return await self._with_memory(box, read_answer(answer, duration_seconds=duration))
        except ContainerNotFound:
            return None
        finally:
            self._discard(box)

    async def _with_memory(self, box: CodeBox, result: CodeResult) -> CodeResult:
        """The engine's word on whether memory was what killed it; it comes a little later."""
        if result.reason not in {CodeEnd.KILLED, CodeEnd.SANDBOX_LOST}:
            return result
        try:
            async with asyncio.timeout(OOM_SECONDS):
                await box.oom.wait()
        except TimeoutError:
            return result
        memory = box.plan.grant.limits.max_memory_mb
        return replace(
            result,
            reason=CodeEnd.OOM_KILLED,
            detail=f"its memory limit of {memory} MB was reached",
        )

    async def _plan(self, wish: Wish) -> BoxPlan:
        if self._group is None:
            raise CodeSandboxClosed("the code sandbox is not open: the daemon starts or ends")
        # Once for each daemon: whether the image still exists is the engine's to say.
        if wish.language not in self._languages:
            self._languages[wish.language] = await self._ground.languages(wish.language)
        return plan_box(
            wish,
            self._languages[wish.language],
            policy=self._ground.policy(),
            site_for=self._ground.site,
            token=secrets.token_hex(4),
        )

    def _pool(self, language: str) -> WarmPool:
        if language not in self._pools:
            self._pools[language] = WarmPool(
                maker=self._maker,
                plan=lambda: self._plan(Wish(language=language)),
                policy=lambda: self._ground.policy().code,
                clock=self._clock,
                discard=self._discard,
                spawn=self._spawn,
            )
            self._spawn(self._pools[language].run())
        return self._pools[language]

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the runs that may go on at the same time. Raises CodeOverloaded."""
        policy = self._ground.policy().code
        if self._running >= policy.max_concurrent and self._waiting >= policy.max_queue:
            raise CodeOverloaded(
                f"{self._running} runs are under way and {self._waiting} wait already "
                "(policy.code.max_concurrent, max_queue)"
            )
        self._waiting += 1
        try:
            async with self._freed:
                await self._freed.wait_for(lambda: self._running < policy.max_concurrent)
                self._running += 1
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            async with self._freed:
                self._running -= 1
                self._freed.notify()

    # -- the background -------------------------------------------------------------------------

    async def _watch(self) -> None:
        """The engine's news of ends and of memory."""
        since = self._clock.now()
        while True:
            try:
                async for event in self._maker.engine.events(self._maker.labels, since=since):
                    since = event.at
                    box = self._box(event.container_id)
                    if box is not None and event.kind is EngineEventKind.OOM:
                        box.oom.set()
                    elif box is not None and event.kind is EngineEventKind.DIED:
                        box.sandbox.died()
            except OrchestratorError:
                pass
            await asyncio.sleep(RETRY_SECONDS)

    def _box(self, container_id: str) -> CodeBox | None:
        boxes = self._maker.boxes.values()
        return next((box for box in boxes if box.container_id == container_id), None)

    def _discard(self, box: CodeBox) -> None:
        self._spawn(self._remove(box))

    async def _remove(self, box: CodeBox) -> None:
        """Until it is gone: a used sandbox must not live on because the engine was busy."""
        while box.plan.token in self._maker.boxes:
            try:
                await self._maker.remove(box)
            except OrchestratorError:
                await asyncio.sleep(RETRY_SECONDS)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        if self._group is None:
            # `close` removes every sandbox itself, and nothing else is worth starting now.
            work.close()
        else:
            self._group.create_task(work)

    async def _sweep(self) -> None:
        site = self._ground.site(())
        try:
            await self._maker.sweep(Path(site.sockets_root))
        except OrchestratorError:
            return  # no engine now: then none of its containers takes code either

    def _entry(self, code: str, wish: Wish, actor: str) -> AuditEntry:
        return AuditEntry(
            at=self._clock.now(),
            actor=actor,
            action=AuditAction.CODE_RUN,
            outcome=AuditOutcome.ALLOWED,
            data={
                "language": wish.language,
                "permissions": [permission.kind for permission in wish.permissions],
                "code_sha256": hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest(),
                "code_bytes": len(code),
            },
        )


def _nobody() -> None:
    """Nobody waits for news of a sandbox that is in use already."""
