"""Links to runbooks in the stack's rules and boards: to `monitoring.runbooks`, or none. Pure.

The files name a page by its path in the repository, which leads nowhere from a browser. With a base
it becomes an address; without, the line goes, and the description's command is what is told.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.monitoring.runbooks import FOLDER

WHAT_TO_DO: Final = "What to do"
"""The column of the overview's table of alerts that tells the command."""
_URL: Final = re.compile(rf"^( *runbook_url: ){re.escape(FOLDER)}/", re.MULTILINE)
_LINE: Final = re.compile(r"^ *runbook_url: .*\n", re.MULTILINE)


def linked(files: Mapping[str, str], base: str) -> dict[str, str]:
    """The files with their links to runbooks below `base`; without it with none."""
    base = base.rstrip("/")
    return {name: _linked(name, text, base) for name, text in files.items()}


def _linked(name: str, text: str, base: str) -> str:
    if name.startswith("prometheus/rules/"):
        return _URL.sub(rf"\g<1>{base}/", text) if base else _LINE.sub("", text)
    if base and name.startswith("dashboards/"):
        return _board(text, base)
    return text


def _board(text: str, base: str) -> str:
    board = json.loads(text)
    columns = [
        override["properties"]
        for panel in board["panels"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        if override["matcher"]["options"] == WHAT_TO_DO
    ]
    for properties in columns:
        properties.append({"id": "links", "value": [_link(base)]})
    return json.dumps(board, indent=2) + "\n" if columns else text


def _link(base: str) -> dict[str, Any]:
    return {
        "title": "Open the runbook",
        "url": f"{base}/${{__data.fields.Alert}}.md",
        "targetBlank": True,
    }
