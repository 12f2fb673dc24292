"""A daemon in a container of its own: refused where it would give plugins the wrong folders."""

from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine import loop_disks
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.own_container import MOUNT_TABLE, check_own_mounts, own_container_id


async def runs_in_engine(settings: DaemonSettings) -> bool:
    """Whether the engine that we command runs us, too. Raises HostPathDiffers."""
    container_id = own_container_id(MOUNT_TABLE.read_text())
    if container_id is None:
        return False
    folders = {"state folder": settings.folder, "folder of secrets": settings.secrets_root}
    if loop_disks.obstacle() is None:
        folders["folder of links to disks"] = settings.volume_links
    clients = DockerClients.connect(settings.engine, workers=1)
    try:
        return await check_own_mounts(clients, container_id, folders)
    finally:
        await clients.aclose()
