"""DockerImages: the ImageStore of a Docker engine, by the classic builder.

That one is in every engine; BuildKit would need a plugin that may be absent, and has the engine
fetch more on a Dockerfile's word.
"""

import asyncio
import contextlib
import io
import json
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
from docker.types import CancellableStream

from orchestrator.engine.base import (
    BuildFailed,
    BuildRequest,
    DiskFull,
    EngineFailure,
    EngineUnavailable,
    ImageNotFound,
)
from orchestrator.engine.build_context import write_context
from orchestrator.engine.command import EVIDENCE_LINES, clean_line
from orchestrator.engine.docker_client import DockerClients

LABEL_READER = "orchestrator.reader"
"""On the containers that `read_file` makes and removes; one may be left by a killed daemon."""

_READ_TIMEOUT_SECONDS = 60.0
_IMPORT_TIMEOUT_SECONDS = 600.0
_TAR_OVERHEAD = 1 << 16
_SPOOL_BYTES = 8 << 20
_NO_COMMAND = ["/nothing-is-ever-started"]


class DockerImages:
    """Implements ImageStore."""

    def __init__(self, clients: DockerClients) -> None:
        self._clients = clients

    async def find(self, reference: str) -> str | None:
        try:
            found = await self._clients.run(lambda api: _inspect(api, reference))
        except ImageNotFound:
            return None
        return str(found["Id"])

    async def labels(self, image: str) -> Mapping[str, str]:
        found = await self._clients.run(lambda api: _inspect(api, image))
        return dict((found.get("Config") or {}).get("Labels") or {})

    async def tag(self, image: str, name: str) -> None:
        repository, tag = _split(name)

        def ask(api: docker.APIClient) -> None:
            try:
                api.tag(image, repository, tag)
            except docker.errors.NotFound as error:
                raise ImageNotFound(f"The Docker engine has no such image: {image}") from error

        await self._clients.run(ask)

    async def pull(self, reference: str, *, timeout_seconds: float) -> str:
        repository, tag = _split(reference)

        def ask(api: docker.APIClient) -> Iterable[Mapping[str, Any]]:
            items: Iterable[Mapping[str, Any]] = api.pull(
                repository, tag=tag, stream=True, decode=True
            )
            return items

        try:
            error, _ = await self._follow(ask, lambda _: None, timeout_seconds=timeout_seconds)
        except TimeoutError as late:
            raise EngineUnavailable(
                f"{reference} could not be pulled within {timeout_seconds:g} s"
            ) from late
        except EngineFailure as failure:  # the engine's answer when it cannot reach a registry
            raise EngineUnavailable(f"{reference} could not be pulled: {failure}") from failure
        if error:
            raise ImageNotFound(f"{reference} could not be pulled: {error}")
        return await self._made(reference)

    async def build(self, request: BuildRequest, progress: Callable[[str], None]) -> str:
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as archive:
            await asyncio.to_thread(write_context, request.context, archive)
            archive.seek(0)

            def ask(api: docker.APIClient) -> Iterable[Mapping[str, Any]]:
                return api.build(fileobj=archive, **_build_arguments(request))

            try:
                error, lines = await self._follow(
                    ask, progress, timeout_seconds=request.timeout_seconds
                )
            except TimeoutError as late:
                raise BuildFailed(
                    f"{request.tag} was not built within {request.timeout_seconds:g} s"
                ) from late
        if error:
            evidence = "\n".join([*lines, error])
            kind = DiskFull if "no space left on device" in error.lower() else BuildFailed
            raise kind(f"{request.tag} could not be built:\n{evidence}")
        return await self._made(request.tag)

    async def import_root(
        self, archive: Path, *, tag: str, changes: Mapping[str, str], labels: Mapping[str, str]
    ) -> str:
        repository, name = _split(tag)
        lines = [f"ENV {key}={json.dumps(value)}" for key, value in changes.items()]
        lines += [f"LABEL {key}={json.dumps(value)}" for key, value in labels.items()]

        def ask(_: docker.APIClient) -> str:
            with contextlib.closing(self._clients.own(timeout=_IMPORT_TIMEOUT_SECONDS)) as api:
                return str(
                    api.import_image(str(archive), repository=repository, tag=name, changes=lines)
                )

        # The answer's status is 200 even when it failed half way: an error is a line of it.
        for line in (await self._clients.run(ask)).splitlines():
            if error := _error_of(json.loads(line)):
                raise EngineFailure(f"{tag} could not be imported: {error}")
        return await self._made(tag)

    async def read_file(self, image: str, path: str, *, max_bytes: int) -> bytes | None:
        def ask(_: docker.APIClient) -> bytes | None:
            with (
                contextlib.closing(self._clients.own(timeout=_READ_TIMEOUT_SECONDS)) as api,
                _unstarted(api, image) as container,
            ):
                return _read_file(api, container, path, max_bytes=max_bytes)

        return await self._clients.run(ask)

    async def _made(self, reference: str) -> str:
        found = await self.find(reference)
        if found is None:
            raise EngineFailure(f"{reference}: the engine reported success, but has no such image")
        return found

    async def _follow(
        self,
        ask: Callable[[docker.APIClient], Iterable[Mapping[str, Any]]],
        progress: Callable[[str], None],
        *,
        timeout_seconds: float,
    ) -> tuple[str, list[str]]:
        """A long answer's error (or ""), and its last lines. Raises TimeoutError.

        In a thread of the default pool: minutes of building must not hold the clients' own.
        """
        loop = asyncio.get_running_loop()

        def say(line: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(progress, line)

        call = _LongCall()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.to_thread(
                    call.follow, self._clients, ask, say, timeout_seconds=timeout_seconds
                )
        finally:
            # Hanging up makes the engine give the work up; it also frees the thread.
            call.hang_up()


class _LongCall:
    """One streamed request that another thread may hang up on."""

    def __init__(self) -> None:
        self._response: requests.Response | None = None
        self._given_up = False

    def follow(
        self,
        clients: DockerClients,
        ask: Callable[[docker.APIClient], Iterable[Mapping[str, Any]]],
        say: Callable[[str], None],
        *,
        timeout_seconds: float,
    ) -> tuple[str, list[str]]:
        lines: deque[str] = deque(maxlen=EVIDENCE_LINES)
        error = ""
        with (
            clients.translated(),
            contextlib.closing(clients.own(timeout=timeout_seconds)) as api,
        ):
            api.hooks["response"].append(self._keep)
            try:
                for item in ask(api):
                    error = error or _error_of(item)
                    for line in _lines_of(item):
                        lines.append(line)
                        say(line)
            finally:
                if self._response is not None:
                    self._response.close()
        return error, list(lines)

    def hang_up(self) -> None:
        self._given_up = True
        if self._response is not None:
            # The SDK's own way to the socket; closed already, it may be half gone.
            with contextlib.suppress(OSError, AttributeError):
                CancellableStream(iter(()), self._response).close()

    def _keep(self, response: requests.Response, *_: object, **__: object) -> None:
        self._response = response
        if self._given_up:
            self.hang_up()


def _build_arguments(request: BuildRequest) -> dict[str, Any]:
    return {
        "custom_context": True,
        "tag": request.tag,
        "dockerfile": request.dockerfile,
        "buildargs": dict(request.arguments),
        "labels": dict(request.labels),
        "network_mode": "default" if request.network else "none",
        "container_limits": {"memory": request.memory_bytes, "memswap": request.memory_bytes},
        "rm": True,
        "forcerm": True,
        "decode": True,
        # The operator's proxy, often with a password in it, is nothing a stranger's build sees.
        "use_config_proxy": False,
    }


def _inspect(api: docker.APIClient, reference: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    return found


@contextlib.contextmanager
def _unstarted(api: docker.APIClient, image: str) -> Any:
    created = api.create_container(
        image,
        command=_NO_COMMAND,
        labels={LABEL_READER: "1"},
        network_disabled=True,
        host_config=api.create_host_config(network_mode="none"),
    )
    try:
        yield created["Id"]
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_container(created["Id"], force=True, v=True)


def _read_file(api: docker.APIClient, container: str, path: str, *, max_bytes: int) -> bytes | None:
    responses: list[requests.Response] = []
    api.hooks["response"].append(lambda response, *_, **__: responses.append(response))
    try:
        chunks, _ = api.get_archive(container, path)
        archive = bytearray()
        for chunk in chunks:
            archive += chunk
            if len(archive) > max_bytes + _TAR_OVERHEAD:
                raise EngineFailure(f"{path}: larger than {max_bytes:,} bytes")
    except docker.errors.NotFound:
        return None
    finally:
        for response in responses:
            response.close()
    return _only_file(bytes(archive), path, max_bytes=max_bytes)


def _only_file(archive: bytes, path: str, *, max_bytes: int) -> bytes:
    """The content of the one plain file in the tar; a link is not followed, anywhere."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.next()
        content = tar.extractfile(member) if member is not None and member.isreg() else None
        if member is None or content is None:
            raise EngineFailure(f"{path}: a plain file is expected, not a folder, link or device")
        if member.size > max_bytes:
            raise EngineFailure(f"{path}: larger than {max_bytes:,} bytes")
        return content.read()


def _split(reference: str) -> tuple[str, str]:
    """(repository, tag); a colon before the last slash belongs to a registry's port."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return repository, digest
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return reference, "latest"
    return repository, tag


def _error_of(item: Mapping[str, Any]) -> str:
    return clean_line(str(item.get("error") or ""))


def _lines_of(item: Mapping[str, Any]) -> list[str]:
    text = str(item.get("stream") or item.get("status") or "")
    return [cleaned for line in text.splitlines() if (cleaned := clean_line(line))]
