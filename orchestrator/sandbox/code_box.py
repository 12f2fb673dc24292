"""CodeBox: one throw-away sandbox from its start to its removal; BoxMaker makes them."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.engine.base import (
    LABEL_DIGEST,
    LABEL_PLUGIN,
    LABEL_ROLE,
    LABEL_SANDBOX,
    LABEL_VERSION,
    Engine,
    VolumeStore,
)
from orchestrator.engine.pausing import Pausing
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.policy import CallPolicy, CodePolicy
from orchestrator.policy.compile import initialize_context
from orchestrator.sandbox.broker import Broker
from orchestrator.sandbox.call import Call, CallFailure, Reply
from orchestrator.sandbox.code_spec import ROLE_CODE, BoxPlan
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.listener import make_folder
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.version import CORE_VERSION

BACKSTOP_SECONDS: Final = 0.4
"""The runner ends the code at its deadline and answers; one that does not is killed this later."""
_HTTP_OK: Final = 200


class CodeStartFailed(OrchestratorError):
    """A sandbox for code did not come up; the code itself was not run."""

    kind, code = Kind.UNAVAILABLE, "code_start_failed"


class CodeNotJson(OrchestratorError):
    """The context is something that JSON cannot say."""

    kind, code = Kind.INVALID, "code_context_not_json"


class CodeBox:
    """Started and initialised; `run` is called once at most, by the one whom the pool gave it."""

    def __init__(
        self,
        plan: BoxPlan,
        sandbox: PluginSandbox,
        *,
        brokers: Sequence[Broker],
        made_at: float,
    ) -> None:
        self.plan = plan
        self.brokers = brokers
        """What stands behind its other sockets; closed with it."""
        self.sandbox = sandbox
        self.made_at = made_at
        self.container_id = ""
        self.paused = False
        self.oom = asyncio.Event()
        """Set when the kernel killed a process of it for its memory."""
        self.lock = asyncio.Lock()
        """Held by whoever pauses it or wakes it up."""

    @property
    def alive(self) -> bool:
        return self.sandbox.is_connected

    async def run(self, body: bytes, *, timeout_seconds: float) -> Reply | CallFailure:
        """Hand the job over; the answer, or why there is none."""
        call = Call(
            request_id=self.plan.token,
            deadline_seconds=timeout_seconds + BACKSTOP_SECONDS,
            content_length=len(body),
            caller="orchestrator",
        )
        return await self.sandbox.invoke(call, body)


def _no_brokers(plan: BoxPlan) -> tuple[Broker, ...]:
    return ()


class BoxMaker:
    """Makes and removes throw-away sandboxes; knows the engine, and nothing of pools."""

    def __init__(
        self,
        *,
        engine: Engine,
        pausing: Pausing | None,
        volumes: VolumeStore,
        labels: Mapping[str, str],
        wheel: DeadlineWheel,
        brokers: Callable[[BoxPlan], Sequence[Broker]] = _no_brokers,
    ) -> None:
        self.labels = {**labels, LABEL_ROLE: ROLE_CODE}
        self.engine = engine
        self.boxes: dict[str, CodeBox] = {}
        """Token → every sandbox that is not removed yet."""
        self._pausing = pausing
        self._volumes = volumes
        self._wheel = wheel
        self._brokers = brokers

    async def make(
        self, plan: BoxPlan, *, made_at: float, on_change: Callable[[], None]
    ) -> CodeBox:
        """Start one, wait until it dialled in, initialise it.

        Raises CodeStartFailed and the engine's errors; nothing is left then.
        """
        sandbox = PluginSandbox(
            sandbox_id=plan.compiled.sandbox_id,
            info=plan.info,
            limits=plan.grant.limits,
            calls=CallPolicy(max_response_mb=plan.max_answer_mb, max_queue=0),
            wheel=self._wheel,
            on_change=lambda _: on_change(),
        )
        brokers = self._brokers(plan)
        box = self.boxes[plan.token] = CodeBox(plan, sandbox, brokers=brokers, made_at=made_at)
        try:
            await self._start(box)
        except OSError as error:
            await self.remove(box)
            raise CodeStartFailed(f"this machine: {error}") from error
        except BaseException:
            with contextlib.suppress(OrchestratorError):
                await self.remove(box)
            raise
        return box

    async def pause(self, box: CodeBox) -> None:
        """Raises the engine's errors; nothing happens where it cannot pause."""
        async with box.lock:
            if self._pausing is not None and not box.paused:
                await self._pausing.pause(box.container_id)
                box.paused = True

    async def wake(self, box: CodeBox) -> None:
        """Raises the engine's errors."""
        async with box.lock:
            if self._pausing is not None and box.paused:
                await self._pausing.unpause(box.container_id)
                box.paused = False

    async def remove(self, box: CodeBox) -> None:
        """Kill it and take away everything that was its own. Raises the engine's errors."""
        for broker in box.brokers:
            broker.close()
        box.sandbox.close(remove_folder=True)
        if box.container_id:
            await self.engine.remove(box.container_id)
        for mount in box.plan.compiled.spec.volume_mounts:
            await self._volumes.remove(mount.volume)
        await asyncio.to_thread(shutil.rmtree, box.plan.folder, ignore_errors=True)
        self.boxes.pop(box.plan.token, None)

    async def sweep(self, sockets_root: Path) -> None:
        """Take away what a killed daemon left. Raises the engine's errors."""
        for container in await self.engine.list(self.labels):
            await self.engine.remove(container.container_id)
        for volume in await self._volumes.list(self.labels):
            await self._volumes.remove(volume.name)
        await asyncio.to_thread(_remove_folders, sockets_root)

    async def _start(self, box: CodeBox) -> None:
        compiled = box.plan.compiled
        make_folder(Path(compiled.sockets_folder))
        await box.sandbox.listen(Path(compiled.sockets_folder))
        for broker in box.brokers:
            await broker.open(Path(compiled.sockets_folder))
        for mount in compiled.spec.volume_mounts:
            await self._volumes.ensure(mount, self._labels_of(box))
        boosted = replace(compiled.spec, cpu_percent=compiled.start_cpu_percent)
        box.container_id = await self.engine.create(
            boosted, name=compiled.container_name, labels=self._labels_of(box)
        )
        await self.engine.start(box.container_id)
        await _dial_in(box)
        if boosted.cpu_percent != compiled.spec.cpu_percent:
            await self.engine.set_cpu(box.container_id, cpu_percent=compiled.spec.cpu_percent)
        await _initialize(box)
        box.sandbox.mark_ready()

    def _labels_of(self, box: CodeBox) -> dict[str, str]:
        return {
            **self.labels,
            LABEL_PLUGIN: box.plan.info.plugin_id,
            LABEL_VERSION: box.plan.info.version,
            LABEL_SANDBOX: box.plan.compiled.sandbox_id,
            LABEL_DIGEST: box.plan.compiled.digest,
        }


def _remove_folders(sockets_root: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # `down` may take the whole of it away meanwhile
        for folder in sockets_root.glob(f"code-{'[0-9a-f]' * 8}"):  # a plugin may be called code-…
            shutil.rmtree(folder, ignore_errors=True)


async def _dial_in(box: CodeBox) -> None:
    seconds = box.plan.start_deadline_seconds
    try:
        async with asyncio.timeout(seconds):
            connected = await box.sandbox.connected()
    except TimeoutError:
        raise CodeStartFailed(f"the runner did not dial in within {seconds:g} s") from None
    if not connected:
        raise CodeStartFailed(f"the runner ended at its start {box.sandbox.trouble}".strip())


async def _initialize(box: CodeBox) -> None:
    body = json.dumps(
        {
            "plugin_id": box.plan.info.plugin_id,
            "instance_id": box.plan.compiled.sandbox_id,
            "config": {},
            "context": {**initialize_context(box.plan.grant), "core_version": CORE_VERSION},
        }
    ).encode()
    answer = await box.sandbox.control(
        "POST", "/v1/initialize", body, deadline_seconds=box.plan.start_deadline_seconds
    )
    if isinstance(answer, CallFailure):
        raise CodeStartFailed(f"the runner was not initialised: {answer.detail}")
    if answer.status != _HTTP_OK:
        raise CodeStartFailed(f"the runner was not initialised: status {answer.status}")


def job_of(code: str, context: JsonValue, seconds: float, policy: CodePolicy) -> bytes:
    """What the runner takes. Raises CodeNotJson."""
    try:
        return json.dumps(
            {
                "code": code,
                "context": context,
                "timeout_seconds": seconds,
                "max_output_bytes": policy.max_output_kb << 10,
                "max_result_bytes": policy.max_result_kb << 10,
            },
            allow_nan=False,
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CodeNotJson(f"context: found what JSON cannot say ({error})") from error
