"""Started: how this daemon came to be, as the audit log is told."""

import os
import pwd
from dataclasses import dataclass

from pydantic import JsonValue

from orchestrator.version import CORE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """By whom, and in whose place."""

    following: bool = False
    who: str = ""
    """Empty where a supervisor did it."""

    @property
    def words(self) -> str:
        return "daemon restart" if self.following else "daemon start"

    def data(self) -> dict[str, JsonValue]:
        return {"pid": os.getpid(), "version": CORE_VERSION}


def user_of_process() -> str:
    """A command that starts a daemon is the same user's."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
