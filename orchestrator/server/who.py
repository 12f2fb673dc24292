"""Who sends a request: what the client says. Whoever may open the daemon's socket is believed."""

import re
from typing import Final

from starlette.requests import Request

from orchestrator.manager.manager import OPERATOR

USER_HEADER: Final = "x-orchestrator-user"
_NAME: Final = re.compile(r"[\x20-\x7e]{1,100}")


def user_of(request: Request) -> str:
    """As the audit log is to have it; `operator` for a client that does not say."""
    name = request.headers.get(USER_HEADER, "")
    return name if _NAME.fullmatch(name) else OPERATOR
