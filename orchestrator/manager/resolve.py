"""From manifests to deployments: find each plugin's metadata, check everything, decide.

Nothing is built or started here, so that `plan` and `up` refuse the same things before anything is
done. The problems of all manifests come at once.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestrator.engine.base import ImageNotFound, ImageStore
from orchestrator.engine.build import plan_image
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.access import check_hosts
from orchestrator.manager.credentials import check_credentials
from orchestrator.manager.databases import check_databases
from orchestrator.manager.deployment import Deployment, Inputs, Place, weigh
from orchestrator.manager.secret_use import digests
from orchestrator.manager.secrets import SecretReader
from orchestrator.manager.shares import real_shares
from orchestrator.model.info import PluginInfo
from orchestrator.model.load import LoadedManifest, load_plugin_info, parse_plugin_info
from orchestrator.model.manifest import PluginManifest, WantedState
from orchestrator.model.permissions import FileSystemRead, FileSystemWrite
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.secret_source import files_of
from orchestrator.policy.overrides import Override, apply_overrides
from orchestrator.registry.resolve import Node, resolve

METADATA_FILES: Final = ("/plugin/plugin.yaml", "/plugin/plugin.json")
MAX_METADATA_BYTES: Final = 1 << 20
PULL_SECONDS: Final = 600.0


class ImageIsNoPlugin(OrchestratorError):
    """An image without metadata at /plugin/plugin.yaml."""

    kind, code = Kind.INVALID, "image_is_no_plugin"


class ManifestsRefused(OrchestratorError):
    """Several manifests were refused, each for its own reason."""

    kind, code = Kind.INVALID, "manifests_refused"

    def __init__(self, errors: tuple[OrchestratorError, ...]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plugin's metadata and image, before anything was decided."""

    info: PluginInfo
    image: str
    build_folder: str


class Resolver:
    """Reads folders and images; writes nothing."""

    def __init__(
        self,
        *,
        images: ImageStore,
        place: Place,
        home: Path,
        base_tag: str,
        secrets: SecretReader,
    ) -> None:
        self._images = images
        self._secrets = secrets
        self._place = place
        self._home = home
        self._base_tag = base_tag

    async def resolve(
        self, manifests: Sequence[LoadedManifest], policy: SecurityPolicy
    ) -> tuple[Deployment, ...]:
        """Every manifest decided and compiled, by name.

        Raises the one error there is, or ManifestsRefused with all of them.
        """
        results = await self.each(manifests, policy)
        raise_all(error for error in results if isinstance(error, OrchestratorError))
        return tuple(result for result in results if isinstance(result, Deployment))

    async def each(
        self, manifests: Sequence[LoadedManifest], policy: SecurityPolicy
    ) -> list[Deployment | OrchestratorError]:
        """Every manifest by itself, in order: decided, or why it cannot be."""
        return [await self._one(loaded, policy) for loaded in manifests]

    async def _one(
        self, loaded: LoadedManifest, policy: SecurityPolicy
    ) -> Deployment | OrchestratorError:
        try:
            found = await self._find(loaded)
            config = loaded.config(found.info)
            inputs = Inputs(
                info=found.info,
                manifest=loaded.manifest,
                config=config,
                image=found.image,
                build_folder=found.build_folder,
                origin=str(loaded.path),
                secret_files=files_of(loaded.manifest.spec.secrets, loaded.path),
                credential_files=files_of(loaded.manifest.spec.inject, loaded.path),
                shares=real_shares(policy, _shares(loaded.manifest, policy), home=self._home),
            )
            inputs = replace(inputs, secret_digests=digests(inputs, self._secrets))
            check_credentials(inputs, self._secrets)
            deployment = weigh(inputs, policy, self._place)
            self.check(deployment, policy)
        except OrchestratorError as error:
            return error
        return deployment

    def settle(
        self, inputs: Inputs, policy: SecurityPolicy, overrides: Sequence[Override]
    ) -> Deployment:
        """Inputs under what was granted and revoked since; a share that came so is looked up.

        Raises PermissionRefused and its kin, ShareUnusable.
        """
        effective = apply_overrides(inputs.info, inputs.manifest, policy, overrides)
        shares = set(_shares(effective.over(inputs.manifest), policy)) - inputs.shares.keys()
        if shares:
            found = real_shares(policy, shares, home=self._home)
            inputs = replace(inputs, shares={**inputs.shares, **found})
        return weigh(inputs, policy, self._place, overrides)

    def check(self, deployment: Deployment, policy: SecurityPolicy) -> None:
        """What brokers need of the host. Raises HostUnusable, DatabaseAddressUnusable."""
        check_hosts(deployment.grant, policy)
        check_databases(deployment.grant, policy, home=self._home)

    async def _find(self, loaded: LoadedManifest) -> Found:
        folder = loaded.build_folder()
        if folder is not None:
            info = load_plugin_info(folder)
            plan = await asyncio.to_thread(plan_image, folder, info.plugin_id, self._base_tag)
            return Found(info=info, image=plan.tag, build_folder=str(folder))
        reference = loaded.manifest.spec.source.image or ""
        image = await self._images.find(reference)
        if image is None:
            image = await self._pull(reference, loaded)
        return Found(info=await self._metadata(image, reference), image=image, build_folder="")

    async def _pull(self, reference: str, loaded: LoadedManifest) -> str:
        try:
            return await self._images.pull(reference, timeout_seconds=PULL_SECONDS)
        except OrchestratorError as error:
            raise ImageNotFound(
                f"{loaded.path}: spec.source.image: found {reference!r}, which the engine neither "
                f"holds nor can pull ({error}), expected an image that it can"
            ) from error

    async def _metadata(self, image: str, reference: str) -> PluginInfo:
        for path in METADATA_FILES:
            data = await self._images.read_file(image, path, max_bytes=MAX_METADATA_BYTES)
            if data is not None:
                return parse_plugin_info(data, f"{reference}:{path}")
        raise ImageIsNoPlugin(
            f"{reference}: found an image without {' or '.join(METADATA_FILES)}, "
            "expected a plugin's image"
        )


def check_dependencies(deployments: Iterable[Deployment]) -> tuple[tuple[str, ...], ...]:
    """The levels in which all of an instance's plugins start. Raises DependenciesUnresolved."""
    return resolve(
        [
            Node(
                plugin_id=deployment.plugin_id,
                version=deployment.inputs.info.version,
                dependencies=deployment.inputs.info.dependencies,
                runs=deployment.inputs.manifest.spec.state is WantedState.RUNNING,
                file=deployment.inputs.origin,
            )
            for deployment in deployments
        ]
    )


def raise_all(errors: Iterable[OrchestratorError]) -> None:
    """Nothing for none, the error itself for one, ManifestsRefused for more."""
    found = tuple(errors)
    if len(found) == 1:
        raise found[0]
    if found:
        raise ManifestsRefused(found)


def _shares(manifest: PluginManifest, policy: SecurityPolicy) -> list[str]:
    """Granted shares that the policy knows; `decide` refuses the others by name."""
    return [
        name
        for permission in manifest.spec.permissions
        if isinstance(permission, FileSystemRead | FileSystemWrite)
        for name in permission.shares
        if name in policy.shares
    ]
