"""DaemonSettings: where an instance lives. From the environment and the command line, once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.liveness import owner_of
from orchestrator.manager.secrets import AGE_KEY_VARIABLE
from orchestrator.model.base import NAME_PATTERN

HOME_VARIABLE: Final = "ORCHESTRATOR_HOME"
INSTANCE_VARIABLE: Final = "ORCHESTRATOR_INSTANCE"
CONFIG_VARIABLE: Final = "ORCHESTRATOR_CONFIG"
ENVIRONMENT_VARIABLE: Final = "ORCHESTRATOR_ENVIRONMENT"
STORE_VARIABLE: Final = "ORCHESTRATOR_STORE"
STORE_PASSWORD_VARIABLE: Final = "ORCHESTRATOR_STORE_PASSWORD_FILE"  # noqa: S105 - a name
AGE_KEY_FILE_VARIABLE: Final = AGE_KEY_VARIABLE
ENGINE_VARIABLE: Final = "DOCKER_HOST"
LOG_VARIABLE: Final = "ORCHESTRATOR_LOG"
TRACES_VARIABLE: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
COLLECTOR_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE_VARIABLE: Final = "OTEL_SERVICE_NAME"
RATIO_VARIABLE: Final = "OTEL_TRACES_SAMPLER_ARG"
LOG_FORMATS: Final = ("text", "json")
DEFAULT_INSTANCE: Final = "default"
DEFAULT_CONFIG: Final = "orchestrator.yaml"
_STORE_SHAPE: Final = "postgresql://USER@HOST:PORT/DATABASE"


class InvalidSetting(OrchestratorError):
    """A variable or option with a value that will not do."""

    kind, code = Kind.INVALID, "invalid_setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """Where traces are sent to."""

    endpoint: str
    service: str = "orchestrator"
    ratio: float = 1.0
    """How many of the traces that begin here are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """One instance: several live side by side on one engine, each with a folder of its own."""

    home: Path
    """State of all instances of this user, and the caches they share."""
    instance: str = DEFAULT_INSTANCE
    engine: str | None = None
    """The engine's address; None is Docker's default."""
    store: str = ""
    """PostgreSQL's URL, without a password; empty for a file in the folder."""
    store_password_file: Path | None = None
    """None leaves the password to libpq: PGPASSFILE, ~/.pgpass, PGPASSWORD."""
    log_format: str = LOG_FORMATS[0]
    traces: TraceSettings | None = None
    """None: no traces are kept."""

    age_key_file: Path | None = None
    """Opens encrypted secrets; None: there are none."""

    @property
    def folder(self) -> Path:
        """State of this instance; 0700."""
        return self.home / self.instance

    @property
    def owner(self) -> str:
        """Short hash of the folder: part of the names and labels of what the instance makes."""
        return owner_of(self.folder)

    @property
    def socket(self) -> Path:
        """The daemon's API."""
        return self.folder / "daemon.sock"

    @property
    def log_file(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def lock_file(self) -> Path:
        return self.folder / "daemon.lock"

    @property
    def database(self) -> Path:
        return self.folder / "state.db"

    @property
    def event_log(self) -> Path:
        """Events that were accepted, and who is still to get them."""
        return self.folder / "events.db"

    @property
    def statistics(self) -> Path:
        """Figures of calls and resources by minute, hour and day."""
        return self.folder / "analytics.db"

    @property
    def audit_folder(self) -> Path:
        """The audit log's segments; kept by `down`."""
        return self.folder / "audit"

    @property
    def sockets_root(self) -> Path:
        """One folder of sockets for each sandbox."""
        return self.folder / "sockets"

    @property
    def secrets_root(self) -> Path:
        """Secrets of this instance's sandboxes: /dev/shm is memory on every Linux."""
        return Path(f"/dev/shm/orchestrator-{self.instance}-{self.owner}")  # noqa: S108

    @property
    def secrets_key(self) -> Path:
        """For digests of secrets' values: random, in no backup, and never sent anywhere."""
        return self.folder / "secrets.key"

    @property
    def volumes_root(self) -> Path:
        """Disk images of the plugins' /data."""
        return self.folder / "volumes"

    @property
    def volume_links(self) -> Path:
        """Where disks appear as devices; a reboot must empty it, as it renumbers the devices."""
        return Path("/run/orchestrator") / f"{self.instance}-{self.owner}"

    @property
    def share_mounts(self) -> Path:
        """Where writable shares are mounted for the moment of a start."""
        return Path("/run/orchestrator") / f"{self.instance}-{self.owner}.shares"

    @property
    def monitoring_folder(self) -> Path:
        """What the monitoring stack's containers mount."""
        return self.folder / "monitoring"

    @property
    def cache(self) -> Path:
        """Unpacked wheels and the like: may be deleted at any time."""
        return self.home / "cache"


def settings_from(
    environment: Mapping[str, str], *, instance: str | None, user_home: Path, is_root: bool
) -> DaemonSettings:
    """Raises InvalidSetting."""
    chosen = instance or environment.get(INSTANCE_VARIABLE) or DEFAULT_INSTANCE
    if re.fullmatch(NAME_PATTERN, chosen) is None:
        raise InvalidSetting(
            f"--instance / {INSTANCE_VARIABLE}: found {chosen!r}, expected lower-case letters, "
            "digits, - and _, at most 63, a letter first"
        )
    home = environment.get(HOME_VARIABLE)
    if home:
        folder = Path(home)
    elif is_root:
        folder = Path("/var/lib/orchestrator")
    else:
        state = environment.get("XDG_STATE_HOME") or str(user_home / ".local/state")
        folder = Path(state) / "orchestrator"
    password = environment.get(STORE_PASSWORD_VARIABLE)
    age_key = environment.get(AGE_KEY_FILE_VARIABLE)
    return DaemonSettings(
        home=folder.absolute(),
        instance=chosen,
        engine=environment.get(ENGINE_VARIABLE) or None,
        store=_store(environment.get(STORE_VARIABLE) or ""),
        store_password_file=Path(password).absolute() if password else None,
        log_format=_log_format(environment.get(LOG_VARIABLE) or LOG_FORMATS[0]),
        traces=_traces(environment),
        age_key_file=Path(age_key).absolute() if age_key else None,
    )


def _log_format(name: str) -> str:
    """Raises InvalidSetting."""
    if name not in LOG_FORMATS:
        raise InvalidSetting(
            f"{LOG_VARIABLE}: found {name!r}, expected one of {', '.join(LOG_FORMATS)}"
        )
    return name


def _traces(environment: Mapping[str, str]) -> TraceSettings | None:
    """By OpenTelemetry's own variables. Raises InvalidSetting."""
    endpoint = environment.get(TRACES_VARIABLE) or ""
    collector = environment.get(COLLECTOR_VARIABLE) or ""
    if not endpoint and collector:
        endpoint = f"{collector.rstrip('/')}/v1/traces"
    if not endpoint:
        return None
    if urlsplit(endpoint).scheme not in {"http", "https"}:
        raise InvalidSetting(
            f"{TRACES_VARIABLE} / {COLLECTOR_VARIABLE}: found {endpoint!r}, expected an address "
            "of OTLP over HTTP, as http://127.0.0.1:4318"
        )
    text = environment.get(RATIO_VARIABLE) or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise InvalidSetting(f"{RATIO_VARIABLE}: found {text!r}, expected a number from 0 to 1")
    service = environment.get(SERVICE_VARIABLE) or "orchestrator"
    return TraceSettings(endpoint=endpoint, service=service, ratio=ratio)


def _store(url: str) -> str:
    """Raises InvalidSetting. Its message never repeats the URL: a password may be in it."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        secret = parts.password is not None or "password" in dict(parse_qsl(parts.query))
    except ValueError:
        raise InvalidSetting(f"{STORE_VARIABLE}: found no URL, expected {_STORE_SHAPE}") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise InvalidSetting(
            f"{STORE_VARIABLE}: found the scheme {parts.scheme!r}, expected {_STORE_SHAPE}"
        )
    if secret:
        raise InvalidSetting(
            f"{STORE_VARIABLE}: found a password in it, which other processes could read; expected"
            f" {_STORE_SHAPE}, and the password in the file that {STORE_PASSWORD_VARIABLE} names,"
            " or in PGPASSFILE"
        )
    return url
