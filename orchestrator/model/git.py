"""GitSource: the repository that says what is wanted, in `orchestrator.yaml` under `git`."""

import re
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, JsonValue

from orchestrator.model.base import Model, PluginId, Unexpected
from orchestrator.model.secret_source import SecretFile

TOKEN_USER_PATTERN = r"^[A-Za-z0-9_.@-]{1,128}$"  # noqa: S105 - a shape
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


class Prune(StrEnum):
    """What becomes of a plugin that a new revision no longer has."""

    NEVER = "never"
    CONFIRM = "confirm"
    """It stays until `orchestrator gitops sync --prune`."""
    AUTO = "auto"


class Signed(StrEnum):
    """What of a revision must be signed by somebody who is allowed to."""

    NOTHING = "nothing"
    COMMIT = "commit"
    TAG = "tag"
    """`git.ref` must be an annotated tag, and that is what is signed."""


class WindowKind(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


def _time(text: str) -> str:
    if _TIME.fullmatch(text) is None:
        raise Unexpected(found=repr(text), expected="a time such as 09:30")
    return text


def _zone(text: str) -> str:
    try:
        zone(text)
    except (OSError, ValueError, LookupError):
        raise Unexpected(found=repr(text), expected="a time zone such as Europe/Berlin") from None
    return text


def zone(name: str) -> tzinfo:
    """A time zone by its name. Raises OSError, ValueError, LookupError."""
    return UTC if name == "UTC" else ZoneInfo(name)


class SyncWindow(Model):
    """A time of the week in which new revisions are taken up, or are not."""

    kind: Annotated[WindowKind, Field(strict=False)]
    days: Annotated[
        tuple[Annotated[Day, Field(strict=False)], ...], Field(strict=False, min_length=1)
    ] = tuple(Day)
    """Of its start."""
    start: Annotated[str, AfterValidator(_time)]
    end: Annotated[str, AfterValidator(_time)]
    """Not after `start`: on the next day."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"


class SyncHook(Model):
    """A call of a plugin's tool before or after a revision is taken up."""

    plugin: PluginId
    tool: Annotated[str, Field(min_length=1, max_length=128)]
    input: dict[str, JsonValue] = {}
    timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30.0


class SyncPolicy(Model):
    """How what git says is made so."""

    auto: bool = True
    """A new revision is taken up by itself; else by `orchestrator gitops sync`."""
    self_heal: bool = True
    """What somebody changed by hand is set back."""
    prune: Annotated[Prune, Field(strict=False)] = Prune.NEVER
    wave_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 1_800
    """Longest wait for one wave, with images that are built meanwhile."""
    retry_seconds: Annotated[float, Field(gt=0, le=86_400)] = 5.0
    """Before the second try of what could not be done; doubles with each."""
    retry_most_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    windows: Annotated[tuple[SyncWindow, ...], Field(max_length=50)] = ()
    pre_sync: Annotated[tuple[SyncHook, ...], Field(max_length=20)] = ()
    post_sync: Annotated[tuple[SyncHook, ...], Field(max_length=20)] = ()


class VerifyPolicy(Model):
    """Whose signature a revision needs."""

    require: Annotated[Signed, Field(strict=False)] = Signed.NOTHING
    allowed_signers: Annotated[str, Field(min_length=1)] | None = None
    """A file as `ssh-keygen` reads it, relative to the folder of `orchestrator.yaml`."""


class GitWebhook(Model):
    """Where a forge says that something was pushed: on this machine only."""

    port: Annotated[int, Field(ge=0, le=65_535)]
    """On loopback; 0 takes any free one."""
    secret: SecretFile
    """What the forge signs with, or sends as a token."""


class GitSource(Model):
    """Which revision of which repository says what is wanted."""

    url: Annotated[str, Field(min_length=1, max_length=2_048)]
    ref: Annotated[str, Field(min_length=1, max_length=1_024)] = "main"
    """A branch, a tag or a commit's id."""
    path: Annotated[str, Field(max_length=1_024)] = "manifests"
    """The folder of the manifests in the repository."""
    environment: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Whose patches lie over the manifests; None: nobody's."""
    poll_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    token: SecretFile | None = None
    """For https."""
    token_user: Annotated[str, Field(pattern=TOKEN_USER_PATTERN)] = "x-access-token"  # noqa: S105 - a user's name
    ssh_key: SecretFile | None = None
    known_hosts: Annotated[str, Field(min_length=1)] | None = None
    """Whom to believe over ssh; without it /etc/ssh/ssh_known_hosts."""
    files: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """Folders of this machine whose files manifests may name as secrets."""
    submodules: bool = False
    """Whether they are fetched too, from the repository's own host; else they are left out."""
    max_files: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    max_mb: Annotated[int, Field(ge=1, le=4_096)] = 256
    trees_mb: Annotated[int, Field(ge=1, le=65_536)] = 1_024
    """All commits together whose files are on disk: what is applied, newest or held."""
    history: Annotated[int, Field(ge=1, le=200)] = 20
    """Revisions that are remembered, and can be gone back to."""
    verify: VerifyPolicy = VerifyPolicy()
    sync: SyncPolicy = SyncPolicy()
    webhook: GitWebhook | None = None
