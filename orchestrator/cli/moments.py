"""`--since`: a moment in an operator's words."""

import re
from datetime import datetime
from typing import Final

import click

from orchestrator.clock import SystemClock

_AGO: Final = re.compile(r"([0-9]+)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str, option: str = "--since") -> float:
    """Seconds since the epoch of `30s`, `10m`, `2h`, `1d` ago, or of an ISO time."""
    ago = _AGO.fullmatch(text)
    if ago:
        return SystemClock().now() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise click.BadParameter(
            f"found {text!r}, expected 30s, 10m, 2h, 1d or an ISO time", param_hint=option
        ) from error
