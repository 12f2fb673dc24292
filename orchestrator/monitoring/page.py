"""docs/metrics.md from the table: `python -m orchestrator.monitoring.page docs/metrics.md`."""

import sys
from pathlib import Path
from typing import Final

from orchestrator.monitoring.metrics import as_markdown

BEGIN: Final = "<!-- the table, by python -m orchestrator.monitoring.page docs/metrics.md -->\n"
END: Final = "<!-- end of the table -->\n"


def with_table(page: str) -> str:
    """The page with the table as it is now. Raises ValueError for one without its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"found no place for the table, expected {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{as_markdown()}\n{END}{after}"


def main() -> None:
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(with_table(path.read_text()))


if __name__ == "__main__":
    main()
