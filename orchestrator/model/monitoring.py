"""MonitoringConfig: who may look at the instance's metrics, and how, in `orchestrator.yaml`."""

import re
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from orchestrator.model.base import Model, Unexpected

DEFAULT_LISTEN: Final = "127.0.0.1:9464"
_EXPECTED: Final = f"ADDRESS:PORT, as {DEFAULT_LISTEN} or [::1]:9464; empty for nowhere"
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_LAST_PORT: Final = 65_535
_WEB: Final = re.compile(r"https?://[A-Za-z0-9._~:/%@+-]{1,500}")
"""No quotes, braces or spaces: it is written into rules, which are templates, and into boards."""
_EXPECTED_PAGE: Final = (
    "an address of letters, digits and ._~:/%@+-, as https://example.org/docs/runbooks;"
    " empty for none"
)


def split_address(text: str) -> tuple[str, int]:
    """(address, port) of `127.0.0.1:9464` or `[::1]:9464`. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > _LAST_PORT:
        raise ValueError(text)
    return str(ip_address(match[1] or match[2])), int(match[3])


def _page(text: str) -> str:
    if text and not _WEB.fullmatch(text):
        raise Unexpected(found=repr(text), expected=_EXPECTED_PAGE)
    return text


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
    stack: bool = False
    """Whether Prometheus and Grafana run beside the daemon; `monitoring: true` says just this."""
    grafana_port: Annotated[int, Field(ge=1, le=_LAST_PORT)] = 3_000
    """On loopback, as the next one."""
    prometheus_port: Annotated[int, Field(ge=1, le=_LAST_PORT)] = 9_090
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = 15
    """How long Prometheus keeps what it saw; less where `disk_mb` does not hold so much."""
    disk_mb: Annotated[int, Field(ge=256, le=1_048_576)] = 1_024
    """Of Prometheus' volume."""
    prometheus_image: Annotated[str, Field(min_length=1)] = "prom/prometheus:v3.5.0"
    """Where no registry answers, an image is made from the distribution's packages."""
    grafana_image: Annotated[str, Field(min_length=1)] = "grafana/grafana:13.2.2"

    runbooks: Annotated[str, AfterValidator(_page)] = ""
    """Where docs/runbooks can be read in a browser: alerts and boards of the stack link there."""

    @property
    def address(self) -> str:
        """Where `GET /metrics` is answered; the stack needs such a place."""
        return self.listen or (DEFAULT_LISTEN if self.stack else "")


def switched(value: object) -> object:
    """`monitoring: true` is the stack with its defaults, `false` is nothing."""
    return {"stack": value} if isinstance(value, bool) else value
