"""MonitoringConfig: who may look at the instance's metrics, in `orchestrator.yaml`."""

import re
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import AfterValidator

from orchestrator.model.base import Model, Unexpected

DEFAULT_LISTEN: Final = "127.0.0.1:9464"
_EXPECTED: Final = f"ADDRESS:PORT, as {DEFAULT_LISTEN} or [::1]:9464; empty for nowhere"
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_LAST_PORT: Final = 65_535


def split_address(text: str) -> tuple[str, int]:
    """(address, port) of `127.0.0.1:9464` or `[::1]:9464`. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > _LAST_PORT:
        raise ValueError(text)
    return str(ip_address(match[1] or match[2])), int(match[3])


def _address(text: str) -> str:
    try:
        if text:
            split_address(text)
    except ValueError:
        raise Unexpected(found=repr(text), expected=_EXPECTED) from None
    return text


class MonitoringConfig(Model):
    """Nothing listens by default; `GET /metrics` on daemon.sock always answers."""

    listen: Annotated[str, AfterValidator(_address)] = ""
    """An address of this machine where `GET /metrics` is answered without a token."""
