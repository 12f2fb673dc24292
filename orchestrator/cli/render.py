"""How things look on a terminal: tables, marks, colours (none where nobody sees them)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import click

MARKS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "active": ("●", "green"),
        "inactive": ("○", "yellow"),
        "error": ("✖", "red"),
    }
)
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def mark(status: str) -> str:
    """A status as a coloured sign and its name."""
    sign, colour = MARKS.get(status, ("?", "white"))
    return click.style(f"{sign} {status}", fg=colour)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; styled cells count by what is seen."""
    shown = [[click.unstyle(cell) for cell in row] for row in rows]
    widths = [
        max([len(name), *(len(row[column]) for row in shown)]) for column, name in enumerate(head)
    ]
    lines = [
        click.style(
            "  ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)).rstrip(),
            bold=True,
        )
    ]
    for row, plain in zip(rows, shown, strict=True):
        cells = [
            cell + " " * (width - len(text))
            for cell, text, width in zip(row, plain, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, one a line, values aligned."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(
        f"{click.style(name.ljust(width), dim=True)}  {value}" for name, value in pairs
    )


def plugin_rows(plugins: Sequence[Mapping[str, Any]]) -> str:
    """`orchestrator ps`."""
    rows = [
        [
            str(row["plugin_id"]),
            str(row["version"]),
            mark(str(row["status"])),
            str(row["restarts"]),
            str(row["container_id"])[:12] or "-",
            one_line(str(row["detail"])),
        ]
        for row in plugins
    ]
    return table(["PLUGIN", "VERSION", "STATUS", "RESTARTS", "CONTAINER", "DETAIL"], rows)


def failed_revision(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The revision that another runs instead of."""
    rolled_back = (status.get("rollout") or {}).get("state") == "rolled_back"
    return status.get("failed_revision") if rolled_back else None


def repair_lines(words: Mapping[str, Any]) -> list[str]:
    """What last lines point to, and what may mend a failure of that reason."""
    texts = [*words.get("hints", ()), *words.get("repairs", ())]
    return [f"  → {one_line(str(text), 200)}" for text in texts]


def words_lines(words: Mapping[str, Any], title: str) -> list[str]:
    """The end of a log under a title, and what may mend the failure; nothing of nothing."""
    lines = [f"  {one_line(str(line), 300)}" for line in words.get("lines", ())]
    repairs = repair_lines(words)
    return [
        *([click.style(f"\n{title}", bold=True), *lines] if lines else []),
        *([click.style("\nwhat may mend it", bold=True), *repairs] if repairs else []),
    ]


def one_line(text: str, most: int = 100) -> str:
    """The first line, cut, with nothing in it that a terminal would act on."""
    first = text.splitlines()[0] if text else ""
    clean = "".join(character if character.isprintable() else "?" for character in first)
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def printable(text: str) -> str:
    """A plugin's own words: control characters could drive the operator's terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def duration(seconds: float) -> str:
    """The two largest units: `3h 12m`."""
    left, parts = int(seconds), []
    for size, name in _UNITS:
        if left >= size:
            parts.append(f"{left // size}{name}")
            left %= size
    return " ".join(parts[:2]) or "0s"
