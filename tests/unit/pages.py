"""Reading the documentation: pages, sections, tables, code blocks, links."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
OURS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "runbooks").glob("*.md")),
)
"""What this repository says of the orchestrator."""
ALL = (
    *OURS,
    ROOT / "benchmarks" / "README.md",
    ROOT / "manifests" / "README.md",
    *sorted((ROOT / "plugin_images").glob("*/README.md")),
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One code block, and the line of prose before it."""

    language: str
    text: str
    before: str


def tracked(*patterns: str) -> list[Path]:
    """The repository's files; what git does not know yet is somebody's work in progress."""
    done = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def page(name: str) -> str:
    return (ROOT / name).read_text()


def prose(text: str) -> str:
    """`text` without its code blocks."""
    return _FENCE.sub("", text)


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    return [
        Block(match[1], match[2], text[: match.start()].strip().rpartition("\n")[2])
        for match in _FENCE.finditer(text)
    ]


def section(name: str, heading: str) -> str:
    """What stands below `heading`, up to the next heading of its level or above."""
    text = page(name)
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"{name} has no section {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", _blank_code(rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(name: str, heading: str, *, first: str) -> list[list[str]]:
    """The rows of the section's table whose first column is headed `first`, without backticks."""
    lines = section(name, heading).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")])
    return rows


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.+)$", _blank_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def links(path: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text()))


def _blank_code(text: str) -> str:
    """Code blocks blanked, everything else where it was."""
    return _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
