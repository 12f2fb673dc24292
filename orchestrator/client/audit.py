"""AuditClient: what the daemon's API does with the audit log as a whole, beside the rest of it."""

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.client.client import DaemonClient
from orchestrator.client.lines import pieces_of
from orchestrator.client.problem import problem_of


class AuditClient(DaemonClient):
    """A DaemonClient that exports and archives. All raise DaemonProblem."""

    def audit_export(self) -> Iterator[bytes]:
        """Every audit record as a JSON line, in pieces. Raises DaemonNotRunning if it is cut."""
        with contextlib.closing(self._open(600.0)) as connection:
            response = self._send(connection, "GET", "/v1/audit/export", None, {})
            if response.status >= http.client.BAD_REQUEST:
                raise problem_of(response.status, self._read(response))
            with self._while_it_lives():
                yield from pieces_of(response)

    def audit_archive(self, folder: Path, before: float, *, why: str) -> dict[str, Any]:
        """Move old segments to a folder of the daemon's machine. Raises DaemonProblem."""
        wish = {"folder": str(folder), "before": before, "why": why}
        answer: dict[str, Any] = self._json("POST", "/v1/audit/archive", wish, seconds=None)
        return answer
