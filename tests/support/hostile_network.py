"""Roamers: hostile plugins with the widest network that can be granted, and one that listens."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.hostile import House
from tests.support.instance import Instance, engine, new_name

ROAMER, LISTENER, NEIGHBOUR = "attack-roamer", "attack-listener", "attack-resident"


@contextlib.contextmanager
def roaming(folder: Path) -> Iterator[House]:
    """The house with everybody up; all of it is gone afterwards."""
    house = House(Instance(folder, new_name()), NEIGHBOUR)
    house.instance.policy(egress={"allowed_private": ["0.0.0.0/0"]})
    wide: list[Any] = [{"network_access": {"allow": ["0.0.0.0/0"], "raw": True}}]
    limits = {"max_cpu_percent": 100, "max_execution_time_sec": 60}
    for name in (ROAMER, LISTENER):
        house.plugin(name, info={"permissions": wide}, permissions=wide, limits=limits)
    house.plugin(NEIGHBOUR, info={"permissions": []}, limits=limits)
    try:
        house.instance.up()
        yield house
    finally:
        house.instance.destroy()
        left = house.instance.left_over()
        house.instance.purge()
    assert left == []


def network_of(house: House, plugin: str) -> dict[str, Any]:
    """What the engine knows of the plugin's end: IPAddress, Gateway, …"""
    mode: str = house.instance.inspect(plugin)["HostConfig"]["NetworkMode"]
    with engine() as client:
        pause = client.inspect_container(mode.partition(":")[2])
    [network] = pause["NetworkSettings"]["Networks"].values()
    found: dict[str, Any] = network
    return found
