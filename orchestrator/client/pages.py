"""PagesClient: where browsers of this machine find what the daemon shows them."""

from orchestrator.client.client import DaemonClient


class PagesClient(DaemonClient):
    """A DaemonClient that asks for addresses, each with its key. All raise DaemonProblem."""

    def ui_url(self, plugin_id: str) -> str:
        """Of the plugin's own pages; the key opens those."""
        return self._address(f"/v1/plugins/{plugin_id}/ui")

    def logs_url(self, plugin_id: str) -> str:
        """Of the plugin's log; the key opens every plugin's."""
        return self._address(f"/v1/plugins/{plugin_id}/logs/page")

    def _address(self, path: str) -> str:
        answer: dict[str, str] = self._json("GET", path)
        return answer["url"]
