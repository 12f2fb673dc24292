"""Names that come from outside and go to git: URLs and refs, checked before git sees them. Pure.

Git reads options from anything that begins with a hyphen, commands from some URLs (`ext::`), and
hosts that begin with a hyphen once were options of ssh. Nothing of that gets through here.
"""

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import SplitResult, urlsplit

from orchestrator.errors import Kind, OrchestratorError

MAX_CHARACTERS: Final = 2_048
_SCHEMES: Final = ("https", "ssh", "file", "http")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SCP: Final = re.compile(r"(?:([A-Za-z0-9_][A-Za-z0-9._-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(.+)")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F.]*:[0-9a-fA-F:.]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_EXPECTED: Final = (
    "https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, file:///PATH or an absolute path"
)


class GitUrlRefused(OrchestratorError):
    """An address that git could take for something else, or that holds a password."""

    kind, code = Kind.INVALID, "git_url_refused"


class GitRefRefused(OrchestratorError):
    """A ref that is none by git's own rules, or that git could take for an option."""

    kind, code = Kind.INVALID, "git_ref_refused"


class GitPathRefused(OrchestratorError):
    """A folder in a repository that is not below its root."""

    kind, code = Kind.INVALID, "git_path_refused"


def check_url(url: str) -> str:
    """The URL as git may have it. Raises GitUrlRefused, which never repeats a password."""
    if not url or len(url) > MAX_CHARACTERS or not url.isprintable() or " " in url:
        raise GitUrlRefused(f"git URL: found an empty, too long or unprintable one, {_wanted()}")
    if url.startswith("-") or "::" in url.split("/", maxsplit=1)[0]:
        raise GitUrlRefused(f"git URL: found {url!r}, {_wanted()}")
    if url.startswith("/"):
        return url
    if "://" in url:
        return _with_scheme(url)
    match = _SCP.fullmatch(url)
    if match is None or match[3].startswith("-"):
        raise GitUrlRefused(f"git URL: found {url!r}, {_wanted()}")
    return url


def is_ssh(url: str) -> bool:
    """Whether git speaks ssh for a URL that was checked."""
    return url.startswith("ssh://") or not ("://" in url or url.startswith("/"))


def check_ref(ref: str) -> str:
    """A branch, a tag, a full ref or a commit's id. Raises GitRefRefused."""
    parts = ref.split("/")
    wrong = (
        not ref
        or len(ref) > MAX_CHARACTERS
        or ref == "@"
        or ref.startswith("-")
        or ref.endswith(".")
        or ".." in ref
        or "@{" in ref
        or any(character in ref for character in " ~^:?*[\\\x7f")
        or any(ord(character) < ord(" ") for character in ref)
        or any(not p or p.startswith((".", "-")) or p.endswith(".lock") for p in parts)
    )
    if wrong:
        raise GitRefRefused(f"git ref: found {ref!r}, expected a branch, a tag or a commit's id")
    return ref


def is_commit_id(text: str) -> bool:
    """Whether it is a whole commit's id: SHA-1 or SHA-256."""
    return _SHA.fullmatch(text) is not None


def candidates(ref: str) -> tuple[str, ...]:
    """The full names that a checked ref can mean, the likeliest first."""
    return (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")


def check_path(path: str) -> str:
    """A folder below a repository's root, without dots; "" is the root. Raises GitPathRefused."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or not path.isprintable() or "\\" in path:
        raise GitPathRefused(f"git path: found {path!r}, expected a folder below the root")
    if any(part.lower() == ".git" for part in parts):
        raise GitPathRefused(f"git path: found {path!r}, expected a folder of the work tree")
    return "/".join(part for part in parts if part != ".")


def _with_scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise GitUrlRefused(f"git URL: found one that cannot be read, {_wanted()}") from None
    if parts.password is not None:
        raise GitUrlRefused(
            "git URL: found a password in it, expected it in the file that git.token names"
        )
    found = _unfit(parts, host)
    if found:
        raise GitUrlRefused(f"git URL: found {found}, {_wanted()}")
    return url


def _unfit(parts: SplitResult, host: str) -> str:
    """What of a URL will not do; empty if all of it will."""
    is_file = parts.scheme == "file"
    user = parts.username
    checks = (
        (parts.scheme not in _SCHEMES, f"the scheme {parts.scheme!r}"),
        (
            parts.scheme == "http" and host not in _LOOPBACK,
            f"http to {host!r}, which anyone on the way can change",
        ),
        (bool(parts.query or parts.fragment), "a query or a fragment"),
        (is_file and (bool(host) or not parts.path.startswith("/")), "a host of a file"),
        (not is_file and _HOST.fullmatch(host) is None, f"the host {host!r}"),
        (parts.path in {"", "/"}, "no path"),
        (user is not None and _USER.fullmatch(user) is None, "a user that is none"),
    )
    return next((words for wrong, words in checks if wrong), "")


def _wanted() -> str:
    return f"expected {_EXPECTED}"
