"""What the network guard's helpers print, played for the in-memory engine."""

from typing import Final

from orchestrator.engine.memory import MemoryEngine
from orchestrator.model.container import ContainerSpec, ContainerState

NFT: Final = "/usr/sbin/nft"
HOST = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
4: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever
9: tun0    inet 10.8.0.2 peer 10.8.0.1/32 scope global tun0\\       valid_lft forever
--
default via 192.0.2.1 dev eth0
0.0.0.0/1 via 10.8.0.1 dev tun0
192.0.2.0/24 dev eth0 scope link  src 192.0.2.2
blackhole 10.213.8.0/24
local 192.0.2.2 dev eth0 table local scope host  src 192.0.2.2
"""
COUNTERS = """\
{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"quota": {"family": "inet", "name": "traffic",\
 "table": "orchestrator", "handle": 2, "bytes": 1000, "used": 300, "inv": true}}]}
{"nftables": [{"counter": {"name": "sent", "packets": 2, "bytes": 200}},\
 {"counter": {"name": "received", "packets": 1, "bytes": 100}},\
 {"counter": {"name": "refused", "packets": 4, "bytes": 240}}]}
"""


def play_helper(
    engine: MemoryEngine, spec: ContainerSpec, state: ContainerState, *, nft_exit_code: int = 0
) -> None:
    """A helper prints and ends at once; a pause runs on."""
    if spec.command[0] == NFT:
        text = COUNTERS if "-j" in spec.command else "some words\n"
        _print(engine, state, text, nft_exit_code)
    elif spec.command[0] == "/bin/sh":
        _print(engine, state, HOST, 0)


def _print(engine: MemoryEngine, state: ContainerState, text: str, exit_code: int) -> None:
    for line in text.splitlines():
        engine.log(state.container_id, line)
    engine.die(state.container_id, exit_code=exit_code)
