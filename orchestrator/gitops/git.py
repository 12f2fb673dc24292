"""Git: the git command line, run so that a hostile repository or remote gets nothing but bytes.

No shell sees an argument, no setting of the machine or of a user is read, no hook, filter, helper,
pager or monitor runs, nothing is asked for, and only https, ssh and local files are spoken. What a
run may take is bounded: seconds, bytes of output, bytes of any file that it writes, memory.
"""

import asyncio
import base64
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from orchestrator.engine.command import clean_line
from orchestrator.errors import Kind, OrchestratorError

MAX_OUTPUT_BYTES: Final = 64 << 20
MAX_STDERR_BYTES: Final = 1 << 16
WORDS_LINES: Final = 5
_CHUNK: Final = 1 << 16
_PASSED_ON: Final = (
    "PATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
)
"""Variables of the daemon's own that git needs to find its way out."""
_LIMITED: Final = (
    'ulimit -c 0; ulimit -f "$1" 2>/dev/null; ulimit -v "$2" 2>/dev/null; shift 2; exec "$@"'
)
"""What a shell does before it becomes git; the arguments are data to it."""
_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.symlinks=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.bigFileThreshold=16m",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "fetch.writeCommitGraph=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=30",
    "pack.threads=1",
    "transfer.bundleURI=false",
    "transfer.credentialsInUrl=die",
    "gpg.format=ssh",
    "gpg.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=ssh-keygen",
    "log.showSignature=false",
)


class GitMissing(OrchestratorError):
    """There is no git on this machine."""

    kind, code = Kind.UNAVAILABLE, "git_missing"


class GitFailed(OrchestratorError):
    """Git ended with an error; the message holds the end of what it said."""

    kind, code = Kind.UNAVAILABLE, "git_failed"

    def __init__(self, verb: str, exit_code: int, words: str) -> None:
        super().__init__(f"git {verb} ended with exit code {exit_code}: {words or 'no words'}")
        self.exit_code = exit_code
        self.words = words


class GitTimedOut(OrchestratorError):
    """Git was killed at its deadline."""

    kind, code = Kind.TIMEOUT, "git_timed_out"


class GitOutputTooLarge(OrchestratorError):
    """Git was killed since it answered more than is taken."""

    kind, code = Kind.EXHAUSTED, "git_output_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitBounds:
    """What one run of git may take."""

    seconds: float = 120.0
    file_bytes: int = 1 << 30
    """Of each file that it writes: a pack is one file."""
    memory_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GitCredentials:
    """How git shows who it is; nothing of it is on a command line."""

    token: str = field(default="", repr=False)
    """Sent as the password to https; empty sends none."""
    token_user: str = "x-access-token"  # noqa: S105 - a user's name
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None


NO_CREDENTIALS: Final = GitCredentials()


class Git:
    """One per folder of state; `home` is an empty folder that stands for a user's home."""

    def __init__(
        self, *, home: Path, environment: Mapping[str, str], bounds: GitBounds | None = None
    ) -> None:
        self._home = home
        self._environment = {name: environment[name] for name in _PASSED_ON if name in environment}
        self._bounds = bounds or GitBounds()

    async def run(
        self,
        arguments: Sequence[str],
        *,
        credentials: GitCredentials = NO_CREDENTIALS,
        settings: Sequence[str] = (),
        stdin: bytes = b"",
        max_bytes: int = MAX_OUTPUT_BYTES,
        seconds: float | None = None,
    ) -> bytes:
        """What `git ARGUMENTS` wrote to standard output; `settings` are NAME=VALUE.

        Put `--end-of-options` before what comes from outside. Raises GitFailed, GitTimedOut,
        GitOutputTooLarge, GitMissing.
        """
        verb = next((word for word in arguments if not word.startswith("-")), "")
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv(arguments, settings),
                cwd=self._home,
                env=self.environment(credentials),
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise GitMissing(f"git: found no shell to run it ({error.strerror})") from error
        deadline = self._bounds.seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(deadline):
                out, words = await _conversation(process, stdin, max_bytes, verb)
                exit_code = await process.wait()
        except TimeoutError:
            raise GitTimedOut(f"git {verb}: found no end after {deadline:g} s") from None
        finally:
            await _end(process)
        if exit_code == 127:  # noqa: PLR2004 - the shell's "no such program"
            raise GitMissing("git: found no such program, expected git to be installed")
        if exit_code:
            raise GitFailed(verb, exit_code, words)
        return out

    def environment(self, credentials: GitCredentials = NO_CREDENTIALS) -> dict[str, str]:
        """All that git sees of the world."""
        return {
            **self._environment,
            "HOME": str(self._home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_PAGER": "cat",
            "GIT_EDITOR": "false",
            "GIT_SSH_COMMAND": _ssh(credentials),
            "GIT_SSH_VARIANT": "ssh",
            **_token(credentials),
        }

    def _argv(self, arguments: Sequence[str], settings: Sequence[str]) -> list[str]:
        bounds = self._bounds
        given = [word for setting in (*_SETTINGS, *settings) for word in ("-c", setting)]
        limits = [str(bounds.file_bytes // 512), str(bounds.memory_bytes // 1_024)]
        return ["/bin/sh", "-c", _LIMITED, "sh", *limits, "git", *given, *arguments]


def _ssh(credentials: GitCredentials) -> str:
    """Git gives this to a shell: the two paths are ours, and quoted all the same."""
    words = (
        "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o ClearAllForwardings=yes"
    )
    words += " -o PermitLocalCommand=no -o ProxyCommand=none -o ConnectTimeout=20"
    if credentials.ssh_key_file is not None:
        words += (
            f" -o IdentitiesOnly=yes -o IdentityAgent=none -i {_quoted(credentials.ssh_key_file)}"
        )
    if credentials.known_hosts_file is not None:
        words += f" -o UserKnownHostsFile={_quoted(credentials.known_hosts_file)}"
    return words


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _token(credentials: GitCredentials) -> Mapping[str, str]:
    """A header in the environment, which only this user can read."""
    if not credentials.token:
        return MappingProxyType({})
    pair = f"{credentials.token_user}:{credentials.token}".encode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {base64.b64encode(pair).decode()}",
    }


async def _conversation(
    process: asyncio.subprocess.Process, stdin: bytes, max_bytes: int, verb: str
) -> tuple[bytes, str]:
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process, stdin))
        out = group.create_task(_bounded(process, max_bytes))
        err = group.create_task(_ending(process.stderr))
    answer = out.result()
    if answer is None:
        raise GitOutputTooLarge(f"git {verb}: found more than {max_bytes} bytes of output")
    lines = [clean_line(line) for line in err.result().decode(errors="replace").splitlines()]
    return answer, "; ".join([line for line in lines if line][-WORDS_LINES:])


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Git may end before it has read all of it: what it says then is what counts."""
    if process.stdin is None:
        return
    # uvloop raises RuntimeError for a pipe that was closed meanwhile, asyncio the others.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        process.stdin.write(data)
        await process.stdin.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        process.stdin.close()
        await process.stdin.wait_closed()


async def _bounded(process: asyncio.subprocess.Process, most: int) -> bytes | None:
    """All that it says; None, and its end, if that is more than `most`."""
    chunks: list[bytes] = []
    size = 0
    while process.stdout is not None and (chunk := await process.stdout.read(_CHUNK)):
        size += len(chunk)
        if size > most:
            _kill(process)
            chunks.clear()
        else:
            chunks.append(chunk)
    return b"".join(chunks) if size <= most else None


async def _ending(stream: asyncio.StreamReader | None) -> bytes:
    kept = b""
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept = (kept + chunk)[-MAX_STDERR_BYTES:]
    return kept


def _kill(process: asyncio.subprocess.Process) -> None:
    """The whole session; nothing once it ended, as its number may be another's by then."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it, and reap it once what it had said is read, as its pipes must be empty for that."""
    _kill(process)
    await _ending(process.stdout)
    await _ending(process.stderr)
    await process.wait()
