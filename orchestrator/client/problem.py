"""DaemonProblem: the daemon's own refusal, as it was sent."""

import json
from typing import Any

from orchestrator.errors import Kind, OrchestratorError


class DaemonProblem(OrchestratorError):
    """`remote_kind` and `remote_code` are the daemon's; they decide the exit code."""

    kind, code = Kind.INTERNAL, "daemon_problem"

    def __init__(self, problem: dict[str, Any], status: int) -> None:
        super().__init__(str(problem.get("detail") or f"status {status}"))
        self.problem = problem
        kind = problem.get("kind")
        self.remote_kind = Kind(kind) if kind in set(Kind) else Kind.INTERNAL
        self.remote_code = str(problem.get("code") or self.code)


def problem_of(status: int, content: bytes) -> DaemonProblem:
    """Read from an answer, whatever it holds."""
    try:
        problem = json.loads(content)
    except ValueError:
        problem = {"detail": content.decode("utf-8", "replace")[:500]}
    return DaemonProblem(problem if isinstance(problem, dict) else {}, status)
