"""What a followed repository means for what somebody does by hand: it is soon set back."""

from collections.abc import Collection

from orchestrator.cli.render import one_line
from orchestrator.client.gitops import GitOpsClient
from orchestrator.client.problem import DaemonProblem
from orchestrator.daemon.settings import DaemonSettings


def set_back_words(settings: DaemonSettings, plugins: Collection[str]) -> str:
    """Which of them git has, and what to do; empty if it has none, or nothing is followed."""
    try:
        answer = GitOpsClient(settings.socket).gitops()
    except DaemonProblem:
        return ""  # what was asked for is done: that nothing is known of git is no failure of it
    if not answer.get("followed") or answer.get("state") == "suspended":
        return ""
    names = [row["plugin_id"] for row in answer["plugins"] if row["plugin_id"] in plugins]
    if not names:
        return ""
    place = f"{one_line(answer['url'])} {one_line(answer['ref'])}"
    return (
        f"{', '.join(names)}: comes from git ({place}), which sets back what is changed by hand; "
        "for longer, change it there (`spec.state: stopped` stops a plugin), or say "
        "`orchestrator gitops suspend` before"
    )
