"""A trial: does a volume end where its size says? Told by a throw-away container that overfills it.

What an engine takes as an option need not hold: a volume's size is only believed after this.
"""

import os
import re
from pathlib import Path
from typing import Any, Final

from orchestrator.engine.base import EngineFailure
from orchestrator.engine.docker_client import DockerClients
from orchestrator.model.container import PLUGIN_UID

TRIAL_BYTES: Final = 4 << 20
LABEL_TRIAL: Final = "orchestrator.trial"
TRIAL_PREFIX: Final = "orchestrator-trial-"
_TRIAL: Final = re.compile(rf"{TRIAL_PREFIX}(?P<pid>[0-9]+)-[0-9a-f]+")
"""The whole name: volumes of plugins in an instance called `trial` begin alike."""
_SECONDS: Final = 60
_PLUGIN: Final = f"{PLUGIN_UID}:{PLUGIN_UID}"
_OVERFILL: Final = """\
import errno, os, sys
done, left = 0, int(sys.argv[1])
file = os.open("/data/trial", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
try:
    while left > done:
        done += os.write(file, os.urandom(65536))
        os.fsync(file)
    print(done, "")
except OSError as error:
    print(done, errno.errorcode[error.errno])
"""
"""Random bytes, since a file system may compress; fsync, since it may find out late."""
_GIVE: Final = f"import os; os.chown('/data', {PLUGIN_UID}, {PLUGIN_UID}); print('given')"
_FULL: Final = {"ENOSPC", "EDQUOT"}


def trial_name(number: int) -> str:
    """A volume's name that tells which process tries it."""
    return f"{TRIAL_PREFIX}{os.getpid()}-{number:x}"


def abandoned(name: str) -> bool:
    """Whether that is a trial's volume whose process was killed in the middle of it."""
    match = _TRIAL.fullmatch(name)
    if match is None:
        return False
    try:
        stat = Path("/proc", match["pid"], "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"  # ended, and waited for by nobody


async def let_go(clients: DockerClients, volume: str) -> None:
    """Remove the containers that an abandoned trial left."""

    def call(api: Any) -> None:
        for left in api.containers(all=True, filters={"label": f"{LABEL_TRIAL}={volume}"}):
            api.remove_container(left["Id"], force=True)

    await clients.run(call)


async def overfill(clients: DockerClients, volume: str, *, image: str) -> str:
    """Why a volume of TRIAL_BYTES does not hold; empty if it does. Raises EngineFailure."""
    said = await _run(clients, volume, [_OVERFILL, str(2 * TRIAL_BYTES)], image=image, user=_PLUGIN)
    written, _, error = said.partition(" ")
    if not written.isdecimal():
        raise EngineFailure(f"A trial of {volume} said {said[:200]!r}; expected bytes and an error")
    return judge(int(written), error)


def judge(written: int, error: str) -> str:
    """Why that is not what a volume of TRIAL_BYTES does; empty if it is."""
    if error not in _FULL:
        return f"{written} bytes were written and then {error or 'no error'} came, expected ENOSPC"
    if written > TRIAL_BYTES:
        return f"it took {written} bytes, expected at most {TRIAL_BYTES}"
    if written < TRIAL_BYTES // 2:
        return f"it was full after {written} bytes, expected about {TRIAL_BYTES}"
    return ""


async def give(clients: DockerClients, volume: str, *, image: str) -> None:
    """Make the plugin's user the owner of a volume that the engine made. Raises EngineFailure."""
    said = await _run(clients, volume, [_GIVE], image=image, user="0:0", capabilities=("CHOWN",))
    if said != "given":
        raise EngineFailure(
            f"Volume {volume} could not be given to the plugin's user: found {said[:200]!r}"
        )


async def _run(
    clients: DockerClients,
    volume: str,
    program: list[str],
    *,
    image: str,
    user: str,
    capabilities: tuple[str, ...] = (),
) -> str:
    """What the program says, run with nothing but the volume."""

    def call(api: Any) -> str:
        made: Any = api.create_container_from_config(
            {
                "Image": image,
                "Entrypoint": ["python3", "-c", *program],
                "User": user,
                "Labels": {LABEL_TRIAL: volume},
                "NetworkDisabled": True,
                "HostConfig": {
                    "NetworkMode": "none",
                    "CapDrop": ["ALL"],
                    "CapAdd": list(capabilities),
                    "SecurityOpt": ["no-new-privileges"],
                    "ReadonlyRootfs": True,
                    "PidsLimit": 16,
                    "Memory": 64 << 20,
                    "LogConfig": {"Type": "json-file", "Config": {"max-size": "64k"}},
                    "Mounts": [
                        {
                            "Type": "volume",
                            "Source": volume,
                            "Target": "/data",
                            "VolumeOptions": {"NoCopy": True},
                        }
                    ],
                },
            }
        )
        try:
            api.start(made["Id"])
            api.wait(made["Id"], timeout=_SECONDS)
            said: bytes = api.logs(made["Id"])
        finally:
            api.remove_container(made["Id"], force=True)
        return said.decode(errors="replace").strip()

    return await clients.run(call)
