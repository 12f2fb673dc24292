"""The stack's containers, as they should be. Pure.

Prometheus and Grafana are in a network namespace that has nothing but its own loopback. A relay in
it (the *inner* one) and a relay on the host's network (the *door*) pass bytes to each other over
sockets in a folder: from the host's loopback to the two web pages, and from Prometheus to the
daemon's metrics. Nothing else is reachable from inside: no host, no network, no control socket.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from orchestrator.model.container import BindMount, ContainerSpec, Tmpfs, VolumeMount
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.policy.baseline import MASKED_PATHS, READONLY_PATHS, TMP_INODES_PER_MB

INNER: Final = "inner"
DOOR: Final = "door"
PROMETHEUS: Final = "prometheus"
GRAFANA: Final = "grafana"
RELAYS: Final = (INNER, DOOR)

RELAY_FOLDER: Final = "/run/relay"
FILES_FOLDER: Final = "/etc/orchestrator"
_METRICS: Final = "127.0.0.1:9464"
"""Where Prometheus finds the daemon, inside."""
_PROMETHEUS: Final = "127.0.0.1:9090"
_GRAFANA: Final = "127.0.0.1:3000"
_MB: Final = 1 << 20
_LOG_BYTES: Final = 1 << 20
_OPEN_FILES: Final = 1_024
_DATABASE: Final = "/prometheus"
_GRAFANA_DATA: Final = "/var/lib/grafana"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where an instance's stack lives."""

    prefix: str
    """Of the containers' names."""
    relay_folder: str
    """On the host: where the two relays meet."""
    seccomp_profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StackImages:
    """Ids of what the parts run; Grafana's is empty where it cannot be had."""

    relay: str
    prometheus: str
    grafana: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One container."""

    name: str
    container_name: str
    spec: ContainerSpec
    joins: bool = False
    """Whether it is in the inner relay's network."""

    @property
    def digest(self) -> str:
        """Of everything that it is; a container of another digest is replaced."""
        return hashlib.sha256(repr(self.spec).encode()).hexdigest()[:16]


def parts(
    config: MonitoringConfig, images: StackImages, site: Site, *, relay: str, files: str
) -> tuple[Part, ...]:
    """In the order in which they start. `relay` is the relay's source, `files` a host folder."""
    inner = f"{site.prefix}-monitoring-{INNER}"
    network = f"container:{inner}"
    found = [
        Part(
            name=INNER,
            container_name=inner,
            spec=_relay(images, site, relay, network="none", pairs=_inner_pairs()),
        ),
        Part(
            name=DOOR,
            container_name=f"{site.prefix}-monitoring-{DOOR}",
            spec=_relay(images, site, relay, network="host", pairs=_door_pairs(config)),
        ),
        Part(
            name=PROMETHEUS,
            container_name=f"{site.prefix}-monitoring-{PROMETHEUS}",
            spec=_prometheus(config, images, site, network=network, files=files),
            joins=True,
        ),
    ]
    if images.grafana:
        spec = _grafana(config, images, site, network=network, files=files)
        name = f"{site.prefix}-monitoring-{GRAFANA}"
        found.append(Part(name=GRAFANA, container_name=name, spec=spec, joins=True))
    return tuple(found)


def _inner_pairs() -> tuple[str, ...]:
    return (
        f"unix:{RELAY_FOLDER}/prometheus.sock=tcp:{_PROMETHEUS}",
        f"unix:{RELAY_FOLDER}/grafana.sock=tcp:{_GRAFANA}",
        f"tcp:{_METRICS}=unix:{RELAY_FOLDER}/metrics.sock",
    )


def _door_pairs(config: MonitoringConfig) -> tuple[str, ...]:
    """On the host's loopback alone, whatever else the host has."""
    return (
        f"unix:{RELAY_FOLDER}/metrics.sock=tcp:{config.address}",
        f"page:127.0.0.1:{config.prometheus_port}=unix:{RELAY_FOLDER}/prometheus.sock",
        f"page:127.0.0.1:{config.grafana_port}=unix:{RELAY_FOLDER}/grafana.sock",
    )


def _relay(
    images: StackImages, site: Site, source: str, *, network: str, pairs: tuple[str, ...]
) -> ContainerSpec:
    return ContainerSpec(
        plugin_id="" if network == "host" else "monitoring",
        image=images.relay,
        command=("/usr/bin/env", "python3", "-I", "-c", source, *pairs),
        environment=(),
        memory_bytes=48 * _MB,
        cpu_percent=50,
        pids_limit=32,
        open_files=_OPEN_FILES,
        log_bytes=_LOG_BYTES,
        stop_grace_seconds=1,
        bind_mounts=(BindMount(source=site.relay_folder, target=RELAY_FOLDER, read_only=False),),
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
        seccomp_profile=site.seccomp_profile,
        working_dir="/",
        network_mode=network,
    )


def _prometheus(
    config: MonitoringConfig, images: StackImages, site: Site, *, network: str, files: str
) -> ContainerSpec:
    return ContainerSpec(
        plugin_id="",
        image=images.prometheus,
        command=(
            "/bin/prometheus",
            f"--config.file={FILES_FOLDER}/prometheus/prometheus.yaml",
            f"--storage.tsdb.path={_DATABASE}",
            f"--storage.tsdb.retention.time={config.retention_days}d",
            # What is being written and compacted is not counted: half as much again.
            f"--storage.tsdb.retention.size={config.disk_mb * 2 // 3}MB",
            # The traces that calls of each duration had; else they are dropped.
            "--enable-feature=exemplar-storage",
            f"--web.listen-address={_PROMETHEUS}",
            f"--web.external-url=http://127.0.0.1:{config.prometheus_port}/",
            "--web.route-prefix=/",
        ),
        environment=(("PATH", "/usr/bin:/bin"),),
        memory_bytes=512 * _MB,
        cpu_percent=100,
        pids_limit=128,
        open_files=_OPEN_FILES,
        log_bytes=_LOG_BYTES,
        stop_grace_seconds=10,
        bind_mounts=(BindMount(source=files, target=FILES_FOLDER),),
        volume_mounts=(
            VolumeMount(
                volume=f"{site.prefix}-monitoring-{PROMETHEUS}",
                target=_DATABASE,
                size_bytes=config.disk_mb * _MB,
            ),
        ),
        tmpfs=(_tmp(16),),
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
        seccomp_profile=site.seccomp_profile,
        working_dir="/",
        network_mode=network,
    )


def _grafana(
    config: MonitoringConfig, images: StackImages, site: Site, *, network: str, files: str
) -> ContainerSpec:
    """It keeps the engine's own system call filter: which calls it needs nobody has tried here."""
    return ContainerSpec(
        plugin_id="",
        image=images.grafana,
        command=(
            "/usr/share/grafana/bin/grafana",
            "server",
            "--homepath=/usr/share/grafana",
            "--packaging=docker",
        ),
        environment=tuple(sorted(_grafana_settings(config).items())),
        memory_bytes=512 * _MB,
        cpu_percent=100,
        pids_limit=256,
        open_files=_OPEN_FILES,
        log_bytes=_LOG_BYTES,
        stop_grace_seconds=10,
        bind_mounts=(BindMount(source=files, target=FILES_FOLDER),),
        volume_mounts=(
            VolumeMount(
                volume=f"{site.prefix}-monitoring-{GRAFANA}",
                target=_GRAFANA_DATA,
                size_bytes=256 * _MB,
            ),
        ),
        tmpfs=(_tmp(64),),
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
        working_dir="/",
        network_mode=network,
    )


def _grafana_settings(config: MonitoringConfig) -> dict[str, str]:
    """Whoever reaches the host's loopback may look, and nobody may change anything."""
    return {
        "PATH": "/usr/share/grafana/bin:/usr/bin:/bin",
        "PROMETHEUS_URL": f"http://{_PROMETHEUS}",
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": "3000",
        "GF_SERVER_ROOT_URL": f"http://127.0.0.1:{config.grafana_port}/",
        "GF_PATHS_DATA": _GRAFANA_DATA,
        "GF_PATHS_LOGS": f"{_GRAFANA_DATA}/log",
        "GF_PATHS_PLUGINS": f"{_GRAFANA_DATA}/plugins",
        "GF_PATHS_PROVISIONING": f"{FILES_FOLDER}/provisioning",
        "GF_LOG_MODE": "console",
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_AUTH_DISABLE_LOGIN_FORM": "true",
        "GF_AUTH_BASIC_ENABLED": "false",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{FILES_FOLDER}/dashboards/overview.json",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    }


def _tmp(megabytes: int) -> Tmpfs:
    return Tmpfs(
        target="/tmp",  # noqa: S108 - of the container
        size_bytes=megabytes * _MB,
        inodes=megabytes * TMP_INODES_PER_MB,
    )
