"""Steps: carry out one action of the plan. Each may be cut off anywhere and be planned again."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from orchestrator.engine.base import (
    LABEL_DIGEST,
    LABEL_PLUGIN,
    LABEL_SANDBOX,
    LABEL_VERSION,
    ContainerNameTaken,
    Engine,
    VolumeStore,
)
from orchestrator.engine.pausing import Pausing
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.access import Access
from orchestrator.manager.actions import (
    IMAGE,
    LABEL_REQUIRES,
    Action,
    Adopt,
    Kill,
    Launch,
    Mend,
    Pause,
    Prepare,
    Remove,
    Resume,
    SetCpu,
    Start,
)
from orchestrator.manager.arrivals import why_it_runs
from orchestrator.manager.bring_up import DIED_AT_START, StartFailed, dial_in, start_and_initialize
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.images import ImageBuilder
from orchestrator.manager.mend import Mender
from orchestrator.manager.networks import PluginNetworks
from orchestrator.manager.secret_use import secrets_of
from orchestrator.manager.secrets import SecretReader, deliver, withdraw
from orchestrator.manager.sleep_steps import SleepSteps
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.events import EventName
from orchestrator.model.policy import SecurityPolicy
from orchestrator.sandbox.listener import make_folder
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState

NAME_TAKEN_SECONDS: Final = 0.2
SandboxFactory = Callable[[Deployment], PluginSandbox]


class Steps:
    """The only code that creates, changes or removes containers."""

    def __init__(
        self,
        *,
        labels: Mapping[str, str],
        sockets_root: Path,
        secrets_root: Path,
        fleet: Fleet,
        engine: Engine,
        volumes: VolumeStore,
        images: ImageBuilder,
        bus: PluginEventBus,
        access: Access,
        networks: PluginNetworks,
        pausing: Pausing | None,
        mender: Mender,
        secrets: SecretReader,
        new_sandbox: SandboxFactory,
    ) -> None:
        self._labels = labels
        self._sockets_root = sockets_root
        self._secrets_root = secrets_root
        self._fleet = fleet
        self._engine = engine
        self._volumes = volumes
        self._images = images
        self._bus = bus
        self._access = access
        self.networks = networks
        self._sleep = SleepSteps(fleet, pausing)
        self._mender = mender
        self._secrets = secrets
        self._new_sandbox = new_sandbox

    async def perform(self, action: Action, policy: SecurityPolicy) -> None:
        """Raises OrchestratorError when it cannot be done; the loop counts and tells."""
        if not self._is_void(action):
            await self._carry_out(action, policy)

    async def _carry_out(self, action: Action, policy: SecurityPolicy) -> None:
        match action:
            case Prepare(plugin_id=plugin_id):
                await self._prepare(plugin_id, policy)
            case Start():
                await self._create(action, policy)
            case Launch(container_id=container_id) | Adopt(container_id=container_id):
                await self._again(action, container_id, policy)
            case Kill(container_id=container_id, why=why):
                await self._kill(container_id, ("stuck", why))
            case Remove():
                await self._remove(action, policy)
            case Pause() | Resume():
                await self._sleep.perform(action)
            case SetCpu() | Mend():
                await self._repair(action, policy)

    def _is_void(self, action: Action) -> bool:
        """It was wanted when that was planned, and is no longer."""
        brings_up = isinstance(action, Prepare | Start | Launch | Adopt)
        return brings_up and action.plugin_id not in self._fleet.deployments

    async def _prepare(self, plugin_id: str, policy: SecurityPolicy) -> None:
        deployment = self._fleet.deployments[plugin_id]

        def progress(line: str) -> None:
            self._fleet.busy.begin(plugin_id, IMAGE, line)

        await self._images.ensure(deployment, policy.build, progress)
        self._fleet.images.add(deployment.inputs.image)

    async def _again(
        self, action: Launch | Adopt, container_id: str, policy: SecurityPolicy
    ) -> None:
        """A container that is there already, of the wanted revision or of one before."""
        container = self._fleet.containers.get(container_id)
        deployment = self._deployment_of(container)
        if deployment is None or container is None:
            return  # not wanted any more, by now
        if isinstance(action, Launch):
            self._fleet.count_restart(action.plugin_id, container.label(LABEL_SANDBOX))
            await self._launch(deployment, container_id, policy)
        else:
            await self._adopt(deployment, container_id, policy)

    def _deployment_of(self, container: ContainerState | None) -> Deployment | None:
        if container is None:
            return None
        return self._fleet.find(container.label(LABEL_PLUGIN), container.label(LABEL_SANDBOX))

    async def _create(self, action: Start, policy: SecurityPolicy) -> None:
        deployment = self._fleet.find(action.plugin_id, action.sandbox_id)
        if deployment is None:
            return  # another revision is wanted by now
        compiled = deployment.compiled
        make_folder(Path(compiled.sockets_folder))
        joins = await self._provide(deployment, policy)
        boosted = replace(compiled.spec, cpu_percent=compiled.start_cpu_percent)
        labels = {
            **self._labels,
            LABEL_PLUGIN: deployment.plugin_id,
            LABEL_VERSION: deployment.inputs.info.version,
            LABEL_SANDBOX: compiled.sandbox_id,
            LABEL_DIGEST: compiled.digest,
            LABEL_REQUIRES: ",".join(deployment.dependencies),
            **joins,
        }
        try:
            container_id = await self._engine.create(
                boosted, name=compiled.container_name, labels=labels
            )
        except ContainerNameTaken:
            # A daemon killed right here made it already, or the engine is still removing it: the
            # next look tells.
            await asyncio.sleep(NAME_TAKEN_SECONDS)
            return
        await self._bring_up(deployment, container_id, policy)

    async def _launch(
        self, deployment: Deployment, container_id: str, policy: SecurityPolicy
    ) -> None:
        joins = await self._provide(deployment, policy)
        container = await self._engine.inspect(container_id)
        if container is not None and self.networks.strayed(container, joins):
            await self._engine.remove(container_id)
            self._fleet.containers.pop(container_id, None)  # it has not vanished: a new one is due
            return
        boost = deployment.compiled.start_cpu_percent
        await self._engine.set_cpu(container_id, cpu_percent=boost)
        await self._bring_up(deployment, container_id, policy)

    async def _bring_up(
        self, deployment: Deployment, container_id: str, policy: SecurityPolicy
    ) -> None:
        sandbox = self._open(deployment)
        self._fleet.ooms.discard(container_id)
        try:
            await self._access.open(deployment, policy)
            if self._is_unwanted(deployment):  # revoked, say, while we were at it
                self._close(sandbox.sandbox_id)
                return
            await start_and_initialize(
                self._engine, sandbox, container_id, deployment, policy.lifecycle
            )
        except StartFailed as error:
            await self._kill(container_id, (error.reason, str(error)), deployment=deployment)
            raise
        except BaseException:
            self._close(sandbox.sandbox_id)
            raise
        await self._ready(sandbox, container_id, EventName.PLUGIN_STARTED)

    async def _adopt(
        self, deployment: Deployment, container_id: str, policy: SecurityPolicy
    ) -> None:
        container = await self._engine.inspect(container_id)
        if container is None or container.phase is not ContainerPhase.RUNNING:
            return
        if not self._fleet.was_initialized(container) or await self.networks.lost(container):
            # Its daemon was killed between start and initialize, or its network ended while none
            # ran: begin that run anew.
            await self._engine.stop(container_id, grace_seconds=0)
            await self._note_wanted_end(container_id)
            await self._launch(deployment, container_id, policy)
            return
        sandbox = self._open(deployment)
        try:
            await sandbox.listen(Path(deployment.compiled.sockets_folder))
            await self._access.open(deployment, policy)
            await dial_in(sandbox, policy.lifecycle.start_deadline_seconds)
        except StartFailed as error:
            await self._kill(container_id, (error.reason, str(error)), deployment=deployment)
            raise
        except BaseException:
            self._close(sandbox.sandbox_id)  # or it would seem to be starting for ever
            raise
        await self._ready(sandbox, container_id, EventName.PLUGIN_ADOPTED)
        # After it: the rules of the earlier daemon have held all along.
        await self.networks.provide(deployment, policy)

    async def _repair(self, action: SetCpu | Mend, policy: SecurityPolicy) -> None:
        container_id = action.container_id
        if isinstance(action, SetCpu):
            await self._engine.set_cpu(container_id, cpu_percent=action.cpu_percent)
            return
        deployment = self._deployment_of(self._fleet.containers.get(container_id))
        if deployment is None or await self._mender.mend(deployment.compiled, container_id):
            return
        why = "drifted, and could not be set back"
        remove = Remove(plugin_id=action.plugin_id, container_id=container_id, why=why)
        await self._remove(remove, policy)

    async def _ready(self, sandbox: PluginSandbox, container_id: str, event: EventName) -> None:
        try:
            container = await self._engine.inspect(container_id)
        except BaseException:
            self._close(sandbox.sandbox_id)
            raise
        if container is None or container.phase is not ContainerPhase.RUNNING:
            self._close(sandbox.sandbox_id)
            return  # it died meanwhile, or was paused; the loop sees that too
        self._fleet.containers[container_id] = container
        self._fleet.mark_initialized(container)
        sandbox.mark_ready()
        self._fleet.well_since.pop(sandbox.sandbox_id, None)
        why = why_it_runs(self._fleet, plugin_id := sandbox.info.plugin_id, event)
        self._bus.publish(event, plugin_id, {"container_id": container_id, "why": why})

    async def _kill(
        self, container_id: str, cause: tuple[str, str], *, deployment: Deployment | None = None
    ) -> None:
        if cause[0] != DIED_AT_START:  # then the exit code tells more
            self._fleet.causes[container_id] = cause
        container = self._fleet.containers.get(container_id)
        deployment = deployment or self._deployment_of(container)
        if deployment is not None:
            self._close(deployment.compiled.sandbox_id)
        await self._engine.stop(container_id, grace_seconds=0)
        if cause[0] == "stuck" and container is not None:
            plugin_id = container.label(LABEL_PLUGIN)
            self._bus.publish(EventName.PLUGIN_STUCK, plugin_id, {"detail": cause[1]})

    async def _remove(self, action: Remove, policy: SecurityPolicy) -> None:
        container = self._fleet.containers.get(action.container_id)
        sandbox = self._fleet.sandbox_of(container) if container is not None else None
        grace = float(policy.lifecycle.stop_grace_seconds)
        if container is not None and container.phase is ContainerPhase.PAUSED:
            await self._sleep.resume(action.container_id)  # what stands still hears no SIGTERM
        if sandbox is not None and sandbox.state in {SandboxState.READY, SandboxState.DRAINING}:
            await sandbox.drain(grace_seconds=self._drain_seconds(action, sandbox, grace))
            # Whatever it answers, it is stopped: cleanup is an offer, not a veto.
            await sandbox.control("POST", "/v1/cleanup", b"", deadline_seconds=max(grace, 0.1))
        await self._engine.stop(action.container_id, grace_seconds=grace)
        await self._engine.remove(action.container_id)
        # Before anybody looks: a container that we took away has not vanished.
        self._fleet.containers.pop(action.container_id, None)
        if container is not None:
            self._close(container.label(LABEL_SANDBOX), remove_folder=True)
            self._fleet.forget_run(container.label(LABEL_SANDBOX))
            deployment = self._deployment_of(container)
            if deployment is None or self._fleet.is_stale(deployment):
                self._fleet.forget(container.label(LABEL_SANDBOX))
            withdraw(self._secrets_root / container.label(LABEL_SANDBOX))
        self._fleet.causes.pop(action.container_id, None)
        await self.networks.settle(action.plugin_id)
        self._bus.publish(EventName.PLUGIN_STOPPED, action.plugin_id, {"why": action.why})

    # -------------------------------------------------------------------------------------------

    def _drain_seconds(self, action: Remove, sandbox: PluginSandbox, grace: float) -> float:
        """Of a plugin that goes, grace; of one that is replaced every call may run to its end."""
        if action.plugin_id not in self._fleet.deployments:
            return grace
        return max(grace, sandbox.deadline_seconds(None))

    def _is_unwanted(self, deployment: Deployment) -> bool:
        """Whether it is neither what is wanted nor a revision that is needed until then."""
        known = self._fleet.earlier.get(deployment.plugin_id, {})
        return self._fleet.is_stale(deployment) and deployment.compiled.digest not in known

    def _open(self, deployment: Deployment) -> PluginSandbox:
        self._close(deployment.compiled.sandbox_id)
        sandbox = self._new_sandbox(deployment)
        self._fleet.sandboxes[sandbox.sandbox_id] = sandbox
        return sandbox

    def _close(self, sandbox_id: str, *, remove_folder: bool = False) -> None:
        self._access.close(sandbox_id)
        self._fleet.reports.pop(sandbox_id, None)
        self._fleet.well_since.pop(sandbox_id, None)
        sandbox = self._fleet.sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.close(remove_folder=remove_folder)
        elif remove_folder:  # it was made by an earlier daemon, and never adopted
            shutil.rmtree(self._sockets_root / sandbox_id, ignore_errors=True)

    async def _provide(self, deployment: Deployment, policy: SecurityPolicy) -> dict[str, str]:
        """What the container mounts and joins, also after a reboot; labels that tell of it."""
        values = self._secrets.values(secrets_of(deployment.inputs))
        deliver(Path(deployment.compiled.secrets_folder), values)
        for mount in deployment.compiled.spec.volume_mounts:
            labels = {**self._labels, LABEL_PLUGIN: deployment.plugin_id}
            volume = await self._volumes.ensure(mount, labels)
            self._fleet.disks[deployment.plugin_id] = volume.enforced_by
        return await self.networks.provide(deployment, policy)

    async def _note_wanted_end(self, container_id: str) -> None:
        container = await self._engine.inspect(container_id)
        if container is not None:
            self._fleet.excuse(container)
