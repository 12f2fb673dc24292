"""Probe: each tool tries one thing that a plugin should not be able to do, and tells how it went.

An attempt's answer has `error`: the kernel's word for the refusal, empty if it went through.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import probe_attacks
import probe_files
import probe_kernel
import probe_load
from orchestrator_sdk import PluginInterface, tool


class Probe(PluginInterface):
    """All of it needs no permission; what is granted shows in what succeeds."""

    # -- who it is ------------------------------------------------------------------------------

    @tool
    def identity(self) -> dict[str, Any]:
        return {
            "hostname": socket.gethostname(),
            "uids": os.getresuid(),
            "gids": os.getresgid(),
            "groups": os.getgroups(),
            "status": probe_kernel.status("self"),
            "init_status": probe_kernel.status("1"),
            "namespaces": probe_kernel.namespaces(),
        }

    @tool
    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @tool
    def limits(self) -> dict[str, Any]:
        return probe_kernel.limits()

    # -- processes ------------------------------------------------------------------------------

    @tool
    def processes(self) -> list[dict[str, Any]]:
        return probe_kernel.processes()

    @tool
    def orphan(self) -> dict[str, Any]:
        return probe_kernel.orphan()

    @tool
    def crash(self) -> dict[str, Any]:
        return probe_kernel.crash()

    @tool
    def spawn(self, count: int) -> dict[str, Any]:
        return probe_load.spawn(count)

    # -- the kernel -----------------------------------------------------------------------------

    @tool
    def syscall(self, name: str, arguments: list[int]) -> dict[str, Any]:
        return probe_kernel.syscall(name, arguments)

    @tool
    def mount(self, kind: str, target: str) -> dict[str, Any]:
        return probe_kernel.mount(kind, target)

    # -- the network ----------------------------------------------------------------------------

    @tool
    def open_socket(self, family: int, kind: int, protocol: int = 0) -> dict[str, Any]:
        return probe_kernel.open_socket(family, kind, protocol)

    @tool
    def connect(self, host: str, port: int) -> dict[str, Any]:
        return probe_kernel.connect(host, port)

    @tool
    def connect_unix(self, path: str, send: str = "") -> dict[str, Any]:
        return probe_kernel.connect_unix(path, send)

    @tool
    def interfaces(self) -> dict[str, Any]:
        return probe_kernel.interfaces()

    # -- files ----------------------------------------------------------------------------------

    @tool
    def read(self, path: str) -> dict[str, Any]:
        return probe_files.read(path)

    @tool(name="list")
    def list_folder(self, path: str) -> dict[str, Any]:
        return probe_files.listing(path)

    @tool
    def write(self, path: str, text: str) -> dict[str, Any]:
        return probe_files.write(path, text)

    @tool
    def remove(self, path: str) -> dict[str, Any]:
        return probe_files.remove(path)

    @tool
    def mknod(self, path: str, major: int, minor: int) -> dict[str, Any]:
        return probe_files.mknod(path, major, minor)

    @tool(name="execute")
    def run_program(self, path: str) -> dict[str, Any]:
        return probe_files.run(path)

    @tool
    def map_program(self, path: str) -> dict[str, Any]:
        return probe_files.map_program(path)

    @tool
    def plant(self, path: str) -> dict[str, Any]:
        return probe_files.plant(path)

    @tool
    def file_system(self, path: str) -> dict[str, Any]:
        return probe_files.file_system(path)

    @tool
    def sockets(self) -> dict[str, Any]:
        return probe_files.sockets()

    @tool
    def writable(self, path: str) -> dict[str, Any]:
        return probe_files.writable(path)

    @tool
    def fill(self, path: str, mb: int, *, keep: bool = False) -> dict[str, Any]:
        return probe_load.fill(path, mb, keep=keep)

    @tool
    def inodes(self, path: str, count: int) -> dict[str, Any]:
        return probe_load.inodes(path, count)

    @tool
    def inodes_in_child(self, path: str, count: int) -> dict[str, Any]:
        return probe_load.inodes_in_child(path, count)

    @tool
    def clear(self, path: str) -> dict[str, Any]:
        return probe_load.clear(path)

    @tool
    def link(self, source: str, target: str, *, hard: bool) -> dict[str, Any]:
        return probe_attacks.link(source, target, hard=hard)

    @tool
    def rename(self, source: str, target: str) -> dict[str, Any]:
        return probe_attacks.rename(source, target)

    @tool
    def read_link(self, path: str) -> dict[str, Any]:
        return probe_attacks.read_link(path)

    @tool
    def leave_project(self, path: str, project: int) -> dict[str, Any]:
        return probe_files.leave_project(path, project)

    # -- others ---------------------------------------------------------------------------------

    @tool
    def signal(self, pid: int, number: int) -> dict[str, Any]:
        return probe_attacks.send_signal(pid, number)

    @tool
    def hide(self, name: str) -> dict[str, Any]:
        return probe_attacks.hide(name)

    @tool
    def hog(self, processes: int, seconds: float) -> dict[str, Any]:
        return probe_attacks.hog(processes, seconds)

    @tool
    def urgency(self) -> dict[str, str]:
        return probe_attacks.urgency()

    @tool
    def flood_sockets(self, kind: str, pairs: int, *, fill: bool) -> dict[str, Any]:
        return probe_attacks.flood_sockets(kind, pairs, fill=fill)

    @tool
    def raise_limit(self, name: str, value: int) -> dict[str, Any]:
        return probe_attacks.raise_limit(name, value)

    # -- loads ----------------------------------------------------------------------------------

    @tool
    def open_files(self, count: int) -> dict[str, Any]:
        return probe_load.open_files(count)

    @tool
    def allocate(self, mb: int, *, in_child: bool = False) -> dict[str, Any]:
        return probe_load.allocate(mb, in_child=in_child)

    @tool
    def shout(self, mb: int) -> dict[str, Any]:
        line = "x" * 1_023 + "\n"
        for _ in range(mb * 1_024):
            sys.stdout.write(line)
        sys.stdout.flush()
        return {"bytes": mb << 20}

    @tool
    def spin(self, seconds: float) -> dict[str, Any]:
        return probe_load.spin(seconds)

    # -- calls ----------------------------------------------------------------------------------

    @tool
    def sleep(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.context.cancelled():
            time.sleep(0.02)
        return {"slept": seconds}

    @tool
    def hang(self, seconds: float) -> dict[str, Any]:
        time.sleep(seconds)
        return {"slept": seconds}

    @tool
    def answer(self, mb: int, *, streamed: bool = False) -> bytes | Iterator[bytes]:
        piece = b"x" * (1 << 20)
        return (piece for _ in range(mb)) if streamed else piece * mb
