"""GitOpsClient: what the daemon's API says of the repository that is followed."""

from pathlib import Path
from typing import Any

from orchestrator.client.client import DaemonClient


class GitOpsClient(DaemonClient):
    """A DaemonClient that steers the following of a git repository. All raise DaemonProblem."""

    def gitops(self) -> dict[str, Any]:
        """How it stands; `{"followed": false}` while no repository is followed."""
        answer: dict[str, Any] = self._json("GET", "/v1/gitops")
        return answer

    def follow(
        self,
        over: dict[str, str],
        config: Path | None,
        *,
        who: str,
        monitoring: bool | None = None,
    ) -> dict[str, Any]:
        """Follow a repository from now on; `over` is laid over the file's `git`."""
        wish: dict[str, Any] = {**over, "config": str(config) if config else None, "who": who}
        if monitoring is not None:
            wish["monitoring"] = monitoring
        answer: dict[str, Any] = self._json("PUT", "/v1/gitops", wish, seconds=300.0)
        return answer

    def gitops_history(self) -> list[dict[str, Any]]:
        """Every revision that is remembered, the oldest first."""
        answer: list[dict[str, Any]] = self._json("GET", "/v1/gitops/history")
        return answer

    def gitops_diff(self) -> list[dict[str, Any]]:
        """Git, what is wanted and what runs, field by field."""
        answer: list[dict[str, Any]] = self._json("GET", "/v1/gitops/diff", seconds=300.0)
        return answer

    def say_to_gitops(self, verb: str, *, who: str, why: str, **more: Any) -> dict[str, Any]:
        """`sync`, `rollback`, `suspend` or `resume`."""
        wish = {"who": who, "why": why, **more}
        answer: dict[str, Any] = self._json("POST", f"/v1/gitops/{verb}", wish)
        return answer
