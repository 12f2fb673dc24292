"""The guard's two containers: the pause that owns a plugin's network, and the helper beside it.

Neither runs a line of the plugin's; both get the plugins' own baseline all the same.
"""

from orchestrator.model.container import ContainerSpec
from orchestrator.policy.baseline import MASKED_PATHS, READONLY_PATHS

_PAUSE_MEMORY_BYTES = 8 << 20
_HELPER_MEMORY_BYTES = 64 << 20
_CPU_PERCENT = 100
_PIDS = 32  # the runtime's own threads count while it starts a container
_LOG_BYTES = 1 << 20
_HOST_QUESTION = ("/bin/sh", "-c", "ip -o -4 addr && echo -- && ip -4 route show table all")


def network_mode(prefix: str, plugin_id: str) -> str:
    """What the plugin's ContainerSpec says; the name, not the id, so that it can be compiled."""
    return f"container:{pause_name(prefix, plugin_id)}"


def pause_name(prefix: str, plugin_id: str) -> str:
    return f"{prefix}-{plugin_id}-pause"


def network_name(prefix: str, plugin_id: str) -> str:
    return f"{prefix}-{plugin_id}-net"


def pause_spec(plugin_id: str, *, image: str, network: str, seccomp_profile: str) -> ContainerSpec:
    """Sleeps on `network` and so keeps it, its addresses and its rules, for the plugin to join."""
    return ContainerSpec(
        plugin_id=plugin_id,
        image=image,
        command=("/bin/sleep", "2147483647"),
        environment=(),
        memory_bytes=_PAUSE_MEMORY_BYTES,
        cpu_percent=_CPU_PERCENT,
        pids_limit=_PIDS,
        open_files=64,
        log_bytes=_LOG_BYTES,
        stop_grace_seconds=0,
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
        seccomp_profile=seccomp_profile,
        working_dir="/",
        network_mode=network,
    )


def nft_spec(*, image: str, pause: str, commands: tuple[str, ...]) -> ContainerSpec:
    """Runs `nft` in the network namespace of the container `pause`.

    It keeps the engine's own seccomp profile: the plugins' forbids the netlink that nft speaks.
    """
    return _helper(
        image=image,
        command=("/usr/sbin/nft", *commands),
        network_mode=f"container:{pause}",
        user="0:0",
        capabilities=("NET_ADMIN",),
    )


def host_spec(*, image: str, seccomp_profile: str) -> ContainerSpec:
    """Prints the engine host's addresses and routes; it may look at its network alone."""
    return _helper(
        image=image,
        command=_HOST_QUESTION,
        network_mode="host",
        seccomp_profile=seccomp_profile,
    )


def _helper(
    *,
    image: str,
    command: tuple[str, ...],
    network_mode: str,
    user: str = "65532:65532",
    capabilities: tuple[str, ...] = (),
    seccomp_profile: str = "",
) -> ContainerSpec:
    return ContainerSpec(
        plugin_id="",  # no hostname: who joins another's network has that one's
        image=image,
        command=command,
        environment=(),
        memory_bytes=_HELPER_MEMORY_BYTES,
        cpu_percent=_CPU_PERCENT,
        pids_limit=_PIDS,
        open_files=64,
        log_bytes=_LOG_BYTES,
        stop_grace_seconds=0,
        capabilities=capabilities,
        masked_paths=MASKED_PATHS,
        readonly_paths=READONLY_PATHS,
        seccomp_profile=seccomp_profile,
        user=user,
        working_dir="/",
        network_mode=network_mode,
        init=False,
    )
