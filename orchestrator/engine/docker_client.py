"""DockerClients: the blocking Docker SDK behind a bounded thread pool, its errors as ours.

Everything that talks to a Docker engine (containers, images, volumes, streams) takes one of these.
"""

import asyncio
import contextlib
import errno
import os
import queue
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker
import docker.errors
import docker.utils
import requests
import urllib3.exceptions

from orchestrator.engine.base import (
    ContainerNameTaken,
    ContainerNotFound,
    DiskFull,
    EngineFailure,
    EngineUnavailable,
    ImageNotFound,
)
from orchestrator.errors import OrchestratorError

T = TypeVar("T")

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
REQUEST_TIMEOUT_SECONDS = 60
CONNECT_TIMEOUT_SECONDS = 10
_FOREVER_SECONDS = 10 * 365 * 86_400  # the SDK's constructor takes numbers only

_ADVICE = {
    errno.ENOENT: "there is no such socket: is Docker installed and started"
    " (`systemctl start docker`)? Another address goes into DOCKER_HOST",
    errno.ECONNREFUSED: "nothing listens there: start Docker (`systemctl start docker`),"
    " or set DOCKER_HOST to where it listens",
    errno.EACCES: "this user may not open it: run as root, or join the group that owns the socket"
    " (`usermod -aG docker $USER`; its members are as powerful as root)",
}


class DockerClients:
    """At most `workers` requests at a time, each on a pooled client with a request timeout."""

    def __init__(self, address: str, *, arguments: dict[str, Any], workers: int) -> None:
        self.address = address
        self._arguments = arguments
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="docker")
        self._idle: queue.SimpleQueue[docker.APIClient] = queue.SimpleQueue()
        self._version: str | None = None

    @classmethod
    def connect(cls, address: str | None = None, *, workers: int = 8) -> "DockerClients":
        """Without an address DOCKER_HOST, else the usual socket. No I/O before the first call."""
        arguments: dict[str, Any] = {**docker.utils.kwargs_from_env()}
        address = address or arguments.get("base_url") or DEFAULT_ADDRESS
        return cls(address, arguments=arguments | {"base_url": address}, workers=workers)

    async def run(self, call: Callable[[docker.APIClient], T]) -> T:
        """`call` in a worker thread. Raises the leaves of engine/base.py.

        A cancelled caller stops waiting; the request itself runs to its end or its timeout.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._call, call)

    def own(self, *, timeout: float | None) -> docker.APIClient:
        """A client of the caller's own, for a long stream; blocks, and the caller closes it.

        `timeout` is in seconds and bounds each read; None waits for ever.
        """
        with self.translated():
            self._knock()
            version = self._version or "auto"
            seconds: Any = _FOREVER_SECONDS if timeout is None else timeout
            client = docker.APIClient(**self._arguments, version=version, timeout=seconds)
            self._version = client.api_version
            return client

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """The SDK's errors, and those of the libraries below it, as leaves of ours."""
        try:
            yield
        except _BELOW as error:
            raise translate(error, self.address) from error

    async def aclose(self) -> None:
        """End the workers, after the requests that are under way."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _call(self, call: Callable[[docker.APIClient], T]) -> T:
        with self.translated():
            self._knock()
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                client = self.own(timeout=REQUEST_TIMEOUT_SECONDS)
            try:
                return call(client)
            finally:
                self._idle.put(client)

    def _knock(self) -> None:
        """Tell a missing, shut or forbidden socket by the kernel's own word (costs 30 µs).

        The SDK would leak the socket it could not connect, and bury the reason three levels deep.
        """
        scheme, _, path = self.address.partition("://")
        if scheme in {"unix", "http+unix"}:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(CONNECT_TIMEOUT_SECONDS)
                probe.connect(path if path.startswith("/") else f"/{path}")


_BELOW = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)


def translate(error: BaseException, address: str) -> OrchestratorError:
    """The leaf for an error of the SDK; the engine's own words stay in the message."""
    if isinstance(error, docker.errors.APIError):
        return _refusal(error)
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, docker.errors.APIError):
            return _refusal(cause)
    # First the kernel's reason: urllib3 calls a refused connection a timeout as well.
    reason = next((advice for cause in causes if (advice := _advice(cause))), None)
    if reason is None and any(isinstance(cause, _TIMEOUTS) for cause in causes):
        reason = "it did not answer in time (is it overloaded, or stuck?)"
    if reason is None:
        reason = f"{error} (expected a Docker engine there; DOCKER_HOST sets the address)"
    return EngineUnavailable(f"No Docker engine answers at {address}: {reason}")


_TIMEOUTS = (
    requests.exceptions.Timeout,
    urllib3.exceptions.TimeoutError,
    TimeoutError,
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it and so on; urllib3 hides causes in `args`, too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        below = [current.__cause__, current.__context__, *current.args]
        waiting += [cause for cause in below if isinstance(cause, BaseException)]


def _advice(cause: BaseException) -> str | None:
    number = cause.errno if isinstance(cause, OSError) else None
    if number is None:
        return None
    return _ADVICE.get(number, os.strerror(number))


def _refusal(error: docker.errors.APIError) -> OrchestratorError:
    words = str(error.explanation or error)
    lower = words.lower()
    status = error.status_code
    if "no space left on device" in lower:
        return DiskFull(f"The Docker engine's disk is full: {words}")
    if isinstance(error, docker.errors.ImageNotFound):
        return ImageNotFound(f"The Docker engine has no such image: {words}")
    if status == requests.codes.not_found and "no such container" in lower:
        return ContainerNotFound(f"The Docker engine has no such container: {words}")
    if status == requests.codes.conflict and "is already in use" in lower and "name" in lower:
        return ContainerNameTaken(f"The container's name is taken: {words}")
    return EngineFailure(f"The Docker engine answered {status}: {words}")
