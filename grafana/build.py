"""Writes grafana/dashboards/*.json: `python -m grafana.build` (or `make dashboards`).

The boards are code in grafana/boards/; what is written is committed, and a test holds both
together. Needs the dev dependency grafana-foundation-sdk.
"""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards import delivery, internals, overview, plugin, security
from grafana.boards.grid import build

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
BOARDS: Final = (overview.BOARD, plugin.BOARD, security.BOARD, delivery.BOARD, internals.BOARD)


def texts() -> dict[str, str]:
    """File name → what it holds."""
    return {
        f"{board.uid.removeprefix('orchestrator-')}.json": _text(build(board)) for board in BOARDS
    }


def _text(board: object) -> str:
    return (
        json.dumps(json.loads(JSONEncoder(sort_keys=True, indent=2).encode(board)), indent=2) + "\n"
    )


def main() -> None:
    """Write what changed, and take away what is a board no more."""
    FOLDER.mkdir(exist_ok=True)
    made = texts()
    for old in FOLDER.glob("*.json"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
