"""SecurityPolicy: the operator's ceiling over everything, in `orchestrator.yaml`."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.model.base import Model, Name, Unexpected
from orchestrator.model.databases import Database
from orchestrator.model.git import GitSource
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.monitoring import MonitoringConfig, switched
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.runtime import Runtime

_CEILINGS = ResourceLimits(
    max_memory_mb=2_048,
    max_cpu_percent=200,
    max_disk_mb=2_048,
    max_network_mb=1_024,
    max_execution_time_sec=300,
    max_concurrent_requests=64,
)


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise Unexpected(
            found=repr(text), expected="a network such as 10.0.0.0/8 or fd00::/8"
        ) from None
    return text


class Share(Model):
    """A folder of the host that plugins may be given by name."""

    path: Annotated[str, Field(min_length=1)]
    """Relative to the folder of `orchestrator.yaml`."""
    write: bool = False


class CallPolicy(Model):
    """Bounds on every call, so that no plugin and no caller can exhaust the daemon."""

    max_request_mb: Annotated[int, Field(ge=1, le=1_024)] = 16
    max_response_mb: Annotated[int, Field(ge=1, le=1_024)] = 16
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = 128
    """Calls that may wait for a free connection of one plugin; more get 429."""


class LifecyclePolicy(Model):
    """Deadlines of a plugin's life, in seconds."""

    start_deadline_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    stop_grace_seconds: Annotated[int, Field(ge=0, le=600)] = 10
    start_cpu_percent: Annotated[int, Field(ge=0, le=100_000)] = 100
    """CPU until the plugin has dialled in (start boost); 0 starts at the plugin's own limit."""
    status_interval_seconds: Annotated[int, Field(ge=1, le=3_600)] = 10
    idle_stop_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 600
    """A plugin that is paused for its `idle_timeout` is stopped so long after that."""
    drain_seconds: Annotated[int, Field(ge=0, le=300)] = 10
    """How long running calls may go on once the daemon itself was told to end."""


class RolloutPolicy(Model):
    """How a changed plugin takes over from the one that runs."""

    min_healthy_seconds: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """So long it must be ready and well before calls go to it; 0 asks for nothing but ready."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 120
    """Not taken over by then: back to the last revision that was well."""
    history: Annotated[int, Field(ge=1, le=100)] = 5
    """Revisions of each plugin that are kept, with their images."""


class ReconcilePolicy(Model):
    """How what is there is kept as it should be."""

    full_pass_seconds: Annotated[int, Field(ge=1, le=3_600)] = 15
    """So often everything is looked at, though no event of the engine said so."""
    orphan_grace_minutes: Annotated[float, Field(gt=0, le=525_600)] = 1_440.0
    """What an instance left whose state folder is gone is removed so much later."""


class ContainerPolicy(Model):
    """What every plugin container gets beside its limits."""

    pids_limit: Annotated[int, Field(ge=8, le=32_768)] = 128
    open_files: Annotated[int, Field(ge=64, le=1_048_576)] = 1_024
    tmp_mb: Annotated[int, Field(ge=1, le=4_096)] = 16
    log_mb: Annotated[int, Field(ge=1, le=1_024)] = 1
    """Size of one log file; two are kept."""


class HostPolicy(Model):
    """Bounds of host.sock (permission plugin_communication)."""

    requests_per_second: Annotated[float, Field(gt=0, le=100_000)] = 50.0


class EgressPolicy(Model):
    """Bounds of egress.sock (permission external_api)."""

    allowed_private: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Networks that may be reached though they are loopback, private or link-local."""
    window_seconds: Annotated[int, Field(ge=60, le=31_536_000)] = 3_600
    """The rolling window in which `max_network_mb` may pass."""


class EventPolicy(Model):
    """Bounds of the event bus, so that neither a flood nor a plugin that is away fills the disk."""

    max_pending: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Events that may wait for one subscriber; who publishes more gets 429."""
    max_pending_mb: Annotated[int, Field(ge=1, le=65_536)] = 32
    max_published: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    """Deliveries of one publisher's events that may wait, for all subscribers together."""
    max_published_mb: Annotated[int, Field(ge=1, le=65_536)] = 16
    max_tries: Annotated[int, Field(ge=1, le=100)] = 8
    """Then a delivery is a dead letter."""
    max_dead: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Dead letters that are kept of one subscriber; the oldest go."""
    retention_hours: Annotated[float, Field(gt=0, le=100_000)] = 24.0
    """How long a delivered event is kept, and an undelivered one tried."""
    dead_retention_hours: Annotated[float, Field(gt=0, le=100_000)] = 168.0
    """How long a dead letter is kept, from when it was given up."""
    max_mb: Annotated[int, Field(ge=1, le=1_048_576)] = 256
    """Of the whole log; delivered events go first, and then nothing more is taken."""


class BuildPolicy(Model):
    """How plugin images are built: a stranger's Dockerfile runs its own commands."""

    network: bool = False
    memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = 1_024
    timeout_seconds: Annotated[int, Field(ge=10, le=7_200)] = 900
    parallel: Annotated[int, Field(ge=1, le=32)] = 2


class UiPolicy(Model):
    """Where browsers find the pages of plugins: on this machine only."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8_480
    """On loopback; 0 takes any free one. Listened on only while a plugin has pages."""


class CodePolicy(Model):
    """The ceiling over code that is handed in, and how many sandboxes wait for it."""

    pool_size: Annotated[int, Field(ge=0, le=64)] = 2
    """Sandboxes that are started and wait, once code was run; 0 starts one for each run."""
    awake: Annotated[int, Field(ge=0, le=64)] = 1
    """How many of them are not paused: waking one up costs a run about 20 ms."""
    parallel_starts: Annotated[int, Field(ge=1, le=32)] = 1
    replace_minutes: Annotated[float, Field(gt=0, le=100_000)] = 30.0
    """A waiting sandbox older than this is replaced."""
    keep_warm_minutes: Annotated[float, Field(gt=0, le=100_000)] = 30.0
    """So long after the last run sandboxes wait; before the first there are none."""
    max_memory_mb: Annotated[int, Field(ge=8, le=1_048_576)] = 256
    max_cpu_percent: Annotated[int, Field(ge=1, le=100_000)] = 100
    max_disk_mb: Annotated[int, Field(ge=4, le=1_048_576)] = 50
    max_network_mb: Annotated[int, Field(ge=0, le=1_048_576)] = 10
    """Of all runs together, within `policy.egress.window_seconds`."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    max_concurrent: Annotated[int, Field(ge=1, le=256)] = 4
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = 16
    """Runs that may wait for a place; more are refused."""
    max_output_kb: Annotated[int, Field(ge=1, le=4_096)] = 1_024
    """Of standard output and of standard error; the rest is cut off."""
    max_result_kb: Annotated[int, Field(ge=1, le=4_096)] = 1_024


class AnalyticsPolicy(Model):
    """How long statistics are kept, and what is promised of calls."""

    minutes_hours: Annotated[int, Field(ge=1, le=8_760)] = 24
    """How many hours back there are figures by the minute."""
    hours_days: Annotated[int, Field(ge=1, le=3_660)] = 35
    """How many days back there are figures by the hour."""
    days: Annotated[int, Field(ge=1, le=36_600)] = 400
    """How many days back there are figures at all."""
    max_mb: Annotated[int, Field(ge=1, le=65_536)] = 256
    """Of the file; beyond it the oldest minutes go first, then hours, then days."""
    slo_percent: Annotated[float, Field(ge=50, le=99.999)] = 99.0
    """Of the calls that are to succeed; the rest is the error budget."""


class SecurityPolicy(Model):
    """Without a file these defaults hold: no share, no capability, modest ceilings."""

    ceilings: ResourceLimits = _CEILINGS
    permissions: Annotated[
        tuple[Annotated[PermissionKind, Field(strict=False)], ...], Field(strict=False)
    ] = tuple(PermissionKind)
    """Which permissions a manifest may grant at all."""
    runtime: Annotated[Runtime, Field(strict=False)] = Runtime.RUNC
    """The least that plugins run on; `runsc` puts gVisor under every one."""
    memory_overcommit: Annotated[float, Field(gt=0, le=100)] = 1.0
    """How often the host's memory may be promised: the sum of all memory limits over it."""
    shares: dict[Name, Share] = {}
    databases: dict[Name, Database] = {}
    calls: CallPolicy = CallPolicy()
    lifecycle: LifecyclePolicy = LifecyclePolicy()
    reconcile: ReconcilePolicy = ReconcilePolicy()
    rollout: RolloutPolicy = RolloutPolicy()
    container: ContainerPolicy = ContainerPolicy()
    build: BuildPolicy = BuildPolicy()
    ui: UiPolicy = UiPolicy()
    host: HostPolicy = HostPolicy()
    egress: EgressPolicy = EgressPolicy()
    events: EventPolicy = EventPolicy()
    code: CodePolicy = CodePolicy()
    analytics: AnalyticsPolicy = AnalyticsPolicy()


class InstanceConfig(Model):
    """`orchestrator.yaml`: one instance of the orchestrator."""

    policy: SecurityPolicy = SecurityPolicy()
    monitoring: Annotated[MonitoringConfig, BeforeValidator(switched)] = MonitoringConfig()
    git: GitSource | None = None
    """Where what is wanted is read from; None leaves it to `up PATHS`."""
