"""PluginContext: what the host granted this plugin, and the call that is being served."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator_sdk.call import CURRENT
from orchestrator_sdk.errors import PluginError
from orchestrator_sdk.host import HostClient

SECRETS_DIR = "/run/secrets"
SOCKETS_DIR = "/run/orchestrator"

_SECRET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class PluginContext:
    """Handed to `initialize`, and the plugin's `self.context` from then on."""

    def __init__(
        self,
        *,
        plugin_id: str,
        instance_id: str,
        data_dir: str | None = None,
        permissions: Mapping[str, Mapping[str, Any]] | None = None,
        limits: Mapping[str, int] | None = None,
        core_version: str = "",
        secrets_dir: str = SECRETS_DIR,
        host: HostClient | None = None,
    ) -> None:
        self.plugin_id = plugin_id
        self.instance_id = instance_id
        self.data_dir = None if data_dir is None else Path(data_dir)
        """The plugin's own volume; None without `file_system_write`."""
        self.permissions: Mapping[str, Mapping[str, Any]] = permissions or {}
        """Granted permissions, each with its parameters."""
        self.limits: Mapping[str, int] = limits or {}
        self.core_version = core_version
        self.host = host or HostClient(os.environ.get("ORCHESTRATOR_SOCKETS", SOCKETS_DIR))
        """Other plugins and events, with `plugin_communication`."""
        self.logger = logging.getLogger(plugin_id)
        self._secrets_dir = secrets_dir

    def secret(self, name: str) -> str:
        """A granted secret's text, without one newline at its end; read anew each time."""
        if not _SECRET_NAME.fullmatch(name):
            raise ValueError(f"secret name {name!r} found, {_SECRET_NAME.pattern} expected")
        try:
            text = Path(self._secrets_dir, name).read_text(encoding="utf-8")
        except OSError as error:
            raise PluginError(
                f"secret {name!r} cannot be read ({error.strerror}): declare it in plugin.yaml "
                "and grant it in the manifest",
                code="secret_missing",
            ) from error
        return text.removesuffix("\n")

    def deadline_seconds(self) -> float | None:
        """Seconds that the current call has left; None outside a call or without a deadline."""
        call = CURRENT.get()
        return None if call is None else call.deadline_seconds()

    def cancelled(self) -> bool:
        """Whether the host gave the current call up; ask in long loops and return early.

        To be asked in the thread or task that serves the call.
        """
        call = CURRENT.get()
        return call is not None and call.cancelled()

    def request_id(self) -> str:
        """The current call's id, empty outside a call."""
        call = CURRENT.get()
        return "" if call is None else call.request_id

    def traceparent(self) -> str:
        """The current call's W3C trace context, for what the plugin calls itself; or empty."""
        call = CURRENT.get()
        return "" if call is None else call.traceparent

    def caller(self) -> str:
        """Who made the current call, empty if unknown."""
        call = CURRENT.get()
        return "" if call is None else call.caller
