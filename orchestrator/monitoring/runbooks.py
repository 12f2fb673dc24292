"""The runbooks: where they lie, what each is in a word, and how one reads on a terminal.

They are shipped in the wheel, and lie in docs/runbooks/ in a checkout: whoever is woken by an alert
has the page on the machine, whatever the machine can reach.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.engine.assets import AssetsMissing

FOLDER: Final = "docs/runbooks"
"""In the repository; the rules' `runbook_url` begins with it."""
_INDEX: Final = "README.md"
_ROW: Final = re.compile(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \| (.+) \|$", re.MULTILINE)
_OTHER: Final = re.compile(r"\[(\w+)\]\(\1\.md\)")
_DOCS: Final = re.compile(r"\[[^]]+\]\(\.\./([\w-]+\.md)[^)]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """Of one alert."""

    severity: str
    summary: str


def find_runbooks(package: Path | None = None) -> Path:
    """Their folder; `package` is this package's own. Raises AssetsMissing."""
    package = package or Path(__file__).resolve().parent
    places = (package / "_assets" / "runbooks", package.parents[1] / FOLDER)
    for place in places:
        if (place / _INDEX).is_file():
            return place
    raise AssetsMissing(
        f"The runbooks ({_INDEX}) are expected in {places[0]} or {places[1]};"
        " reinstall orchestrator"
    )


def index(folder: Path) -> Mapping[str, Runbook]:
    """Alert → what it is in a word, in the index' order."""
    rows = _ROW.findall((folder / _INDEX).read_text())
    return {
        name: Runbook(severity=severity, summary=summary.replace("\\", ""))
        for name, severity, summary in rows
    }


def read(folder: Path, alert: str) -> str:
    """The page of an alert that the index has; links become what can be typed or looked up."""
    text = (folder / f"{alert}.md").read_text()
    return _DOCS.sub(r"docs/\1", _OTHER.sub(r"`orchestrator runbook \1`", text))


def command_for(alert: str) -> str:
    """What the rules and boards tell to type."""
    return f"orchestrator runbook {alert}"
