"""`python3 -m orchestrator_sdk module:Class`: what a plugin's container runs."""

import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable

from orchestrator_sdk import logs
from orchestrator_sdk.dispatch import Dispatcher
from orchestrator_sdk.egress import EgressForwarder
from orchestrator_sdk.interface import PluginInterface
from orchestrator_sdk.lanes import Lanes

_CONTRACT = "1"
_PLUGIN_DIR = "/plugin"
_FINISH_SECONDS = 60.0
"""For running calls after SIGTERM; the host's own grace period usually ends first."""

_log = logging.getLogger("orchestrator_sdk")


class StartFailed(Exception):
    """The environment or the entry point is wrong."""


def extend_path() -> None:
    """Make the plugin's code and its bundled dependencies importable."""
    for folder in (os.path.join(_PLUGIN_DIR, "site-packages"), _PLUGIN_DIR):  # noqa: PTH118 - pathlib is slow to use here
        if os.path.isdir(folder) and folder not in sys.path:  # noqa: PTH112
            sys.path.insert(0, folder)


def load(entry_point: str) -> type[PluginInterface]:
    """The plugin's class. Raises StartFailed, and what the plugin's module raises."""
    module_name, colon, class_name = entry_point.partition(":")
    if not colon or not module_name or not class_name:
        raise StartFailed(f"entry point {entry_point!r} found, 'module:Class' expected")
    found = getattr(importlib.import_module(module_name), class_name, None)
    if not isinstance(found, type) or not issubclass(found, PluginInterface):
        raise StartFailed(f"{entry_point}: {found!r} found, a subclass of PluginInterface expected")
    return found


def _sockets() -> str:
    return os.environ.get("ORCHESTRATOR_SOCKETS", "/run/orchestrator")


def _open_egress() -> None:
    path = f"{_sockets()}/egress.sock"
    if os.path.exists(path):  # noqa: PTH110 - as above
        EgressForwarder(path).start()


def _lanes(dispatcher: Dispatcher) -> Lanes:
    environment = os.environ
    contract = environment.get("ORCHESTRATOR_CONTRACT", _CONTRACT)
    if contract != _CONTRACT:
        raise StartFailed(f"ORCHESTRATOR_CONTRACT={contract} found, {_CONTRACT} expected")
    connections = environment.get("ORCHESTRATOR_CONNECTIONS", "5")
    if not connections.isdecimal() or int(connections) < 1:
        raise StartFailed(f"ORCHESTRATOR_CONNECTIONS={connections} found, a number expected")
    return Lanes(
        dispatcher,
        path=f"{_sockets()}/plugin.sock",
        connections=int(connections),
        events=environment.get("ORCHESTRATOR_EVENTS") == "1",
    )


def _stop_signal() -> Callable[[], object]:
    """Take SIGTERM and SIGINT from now on; the answer waits for one."""
    # A pipe and not an Event: a handler that takes a lock can deadlock with the thread it stopped.
    readable, writable = os.pipe()

    def handler(*_: object) -> None:
        os.write(writable, b"\0")

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
    return lambda: os.read(readable, 1)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 -m orchestrator_sdk module:Class\n")
        return 2
    wait_for_stop = _stop_signal()
    logs.install()
    # Into a pipe, Python would keep what the plugin prints until there are 8 KiB of it.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    extend_path()
    try:
        _open_egress()
        dispatcher = Dispatcher(load(arguments[0])())
        lanes = _lanes(dispatcher)
    except StartFailed as error:
        _log.error("%s", error)
        return 2
    except Exception:  # noqa: BLE001 - a plugin may raise anything
        _log.exception("%s cannot be loaded", arguments[0])
        return 1
    lanes.start()
    wait_for_stop()
    if not lanes.stop(_FINISH_SECONDS):
        _log.warning("calls were still running %s seconds after SIGTERM", _FINISH_SECONDS)
    dispatcher.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
