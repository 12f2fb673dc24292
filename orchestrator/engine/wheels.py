"""A plugin's third-party packages: wheels only, installed on the host without running any of them.

An image is built without network, so the packages are fetched here, from a `requirements.lock`
that pins each by version and hash. The lock is a stranger's text, and pip takes options from such
files (`--no-binary`, `--index-url`, `-r`): it gets a lock written anew from what was understood.
"""

import asyncio
import hashlib
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.engine.command import run_command
from orchestrator.errors import Kind, OrchestratorError

LOCK_NAME = "requirements.lock"
MAX_LOCK_BYTES = 4 << 20
TIMEOUT_SECONDS = 600.0
PIP = (sys.executable, "-m", "pip")

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_MARKER = r"""[A-Za-z0-9_.,()<>=!~'" ]+?"""
_PIN = re.compile(
    rf"{_NAME}(?:\[{_NAME}(?:\s*,\s*{_NAME})*\])?\s*==\s*[A-Za-z0-9.!+_-]+"
    rf"(?:\s*;\s*{_MARKER})?(?:\s+--hash=sha256:[0-9a-f]{{64}})+"
)
_COMMENT = re.compile(r"(^|\s)#.*$")

# manylinux tags name the oldest glibc that a wheel runs with; the base image has 2.36 or newer.
_NEWEST_GLIBC_MINOR, _OLDEST_GLIBC_MINOR = 36, 5
_LEGACY_TAGS = ("manylinux2014", "manylinux2010", "manylinux1")


class InvalidLock(OrchestratorError):
    """A `requirements.lock` that is not just packages pinned by version and hash."""

    kind, code = Kind.INVALID, "invalid_requirements_lock"


class DependenciesFailed(OrchestratorError):
    """pip could not install what the lock names; carries pip's last lines."""

    kind, code = Kind.UNAVAILABLE, "dependencies_failed"


def parse_lock(text: str) -> tuple[str, ...]:
    """The pinned requirements, one a line. Raises InvalidLock naming the line."""
    pins = []
    pending, start = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if not pending:
            start = number
        content = _COMMENT.sub("", line).strip()
        if content.endswith("\\"):
            pending += content[:-1] + " "
            continue
        pins += _pin(pending + content, start)
        pending = ""
    pins += _pin(pending, start)
    return tuple(sorted(pins))


def _pin(text: str, number: int) -> list[str]:
    requirement = " ".join(text.split())
    if requirement and not _PIN.fullmatch(requirement):
        raise InvalidLock(
            f"{LOCK_NAME}:{number}: found {requirement[:100]!r}; expected"
            " 'name==version --hash=sha256:…' (no options, addresses or ranges)"
        )
    return [requirement] if requirement else []


def platform_tags(machine: str) -> tuple[str, ...]:
    """The platforms whose wheels run in the base image, newest first."""
    newest = range(_NEWEST_GLIBC_MINOR, _OLDEST_GLIBC_MINOR - 1, -1)
    modern = tuple(f"manylinux_2_{minor}_{machine}" for minor in newest)
    legacy = tuple(f"{tag}_{machine}" for tag in _LEGACY_TAGS)
    return (*modern, *legacy, f"linux_{machine}")


async def install_wheels(
    pins: Sequence[str],
    *,
    python: str,
    cache: Path,
    progress: Callable[[str], None],
    pip: Sequence[str] = PIP,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Path:
    """A folder with the packages installed, from the cache if it is there.

    `python` is the base image's version, "3.11". Raises DependenciesFailed.
    """
    machine = platform.machine()
    key = hashlib.sha256("\n".join([*pins, python, machine]).encode()).hexdigest()
    wheels = cache / "wheels"
    done = wheels / key[:32]
    if done.is_dir():
        return done
    wheels.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=wheels))
    try:
        lock, target = work / LOCK_NAME, work / "site-packages"
        lock.write_text("\n".join(pins) + "\n", encoding="utf-8")
        target.mkdir()
        argv = (*pip, *_arguments(lock, target, python=python, machine=machine))
        await _run(argv, folder=work, timeout_seconds=timeout_seconds, progress=progress)
        # One rename, so that a half-made folder is never taken for a whole one.
        await asyncio.to_thread(_settle, target, done)
    finally:
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    return done


def _settle(target: Path, done: Path) -> None:
    try:
        target.rename(done)
    except OSError:
        # Another build of the same lock was faster; its result is as good.
        if not done.is_dir():
            raise


def _arguments(lock: Path, target: Path, *, python: str, machine: str) -> tuple[str, ...]:
    platforms = [f"--platform={tag}" for tag in platform_tags(machine)]
    return (
        "install",
        f"--requirement={lock}",
        f"--target={target}",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python}",
        *platforms,
        "--no-compile",
        "--no-input",
        "--progress-bar=off",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    )


async def _run(
    argv: Sequence[str], *, folder: Path, timeout_seconds: float, progress: Callable[[str], None]
) -> None:
    try:
        result = await run_command(
            argv, folder=folder, timeout_seconds=timeout_seconds, on_line=progress
        )
    except OSError as error:
        raise DependenciesFailed(f"{argv[0]}: {error.strerror}; pip is expected") from error
    if result.exit_code != 0:
        evidence = "\n".join(result.last_lines)
        raise DependenciesFailed(f"The packages of {LOCK_NAME} could not be installed:\n{evidence}")
