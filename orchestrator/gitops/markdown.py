"""Markdown of a review, for a pull request. Pure.

What comes from the commits stands in code spans alone: it names nobody, links nowhere, and ends no
line, whatever it says.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from pydantic import JsonValue

from orchestrator.gitops.review import PluginReview, Review
from orchestrator.manager.preview import FieldChange

MAX_VALUE: Final = 200
MAX_WORDS: Final = 1_000
"""Of one line of a trouble: whole rules and places must be readable."""
MAX_TROUBLE_LINES: Final = 50
MAX_TROUBLE_CHARACTERS: Final = 20_000
"""Of all of them: they stand before what widens, and must not push that out."""
MAX_CHARACTERS: Final = 60_000
"""A comment on GitHub holds 65,536; what widens comes first."""
_SIGNS: Final = {"added": "➕", "changed": "✏️", "removed": "➖"}  # noqa: RUF001 - signs


def markdown(review: Review) -> str:
    """Ends with a new line; at most so long that a forge takes it as a comment."""
    lines = list(_lines(review))
    sizes = accumulate(len(line) + 1 for line in lines)
    fits = sum(1 for size in sizes if size <= MAX_CHARACTERS)
    more = ["", f"… and {len(lines) - fits} lines more."] if fits < len(lines) else []
    return "\n".join([*lines[:fits], *more]) + "\n"


def code(text: str, most: int = MAX_VALUE) -> str:
    """A code span that nothing in `text` can leave."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if len(clean) > most:
        clean = clean[: most - 1] + "…"
    runs = [len(run) for run in "".join(c if c == "`" else " " for c in clean).split()]
    fence = "`" * (max(runs, default=0) + 1)
    # A blank inside either end: else a backtick there would be part of the fence.
    return f"{fence} {clean} {fence}" if "`" in clean or not clean.strip() else f"`{clean}`"


def _lines(review: Review) -> Iterator[str]:
    yield "### Orchestrator plan"
    yield ""
    counts = [
        f"{sum(one.kind == kind for one in review.plugins)} {kind}"
        for kind in _SIGNS
        if any(one.kind == kind for one in review.plugins)
    ]
    counts.append(f"{review.unchanged} unchanged")
    yield f"{code(review.base)} → {code(review.head)}: {', '.join(counts)}."
    if review.troubles:
        yield from ("", f"**{len(review.troubles)} could not be taken up:**", "")
        yield from _troubles(review.troubles)
    wider = [one for one in review.plugins if one.widens]
    if wider:
        yield from ("", "**Permissions would widen:**", "")
        for one in wider:
            yield from (f"- {code(one.plugin_id)} {code(text)}" for text in one.widens)
    elif review.plugins:
        yield from ("", "No permission would widen.")
    for one in review.plugins:
        yield from _plugin(one)


def _troubles(troubles: Sequence[str]) -> Iterator[str]:
    """A bullet for each, and one below it for each rule that it names."""
    left = MAX_TROUBLE_CHARACTERS
    for number, trouble in enumerate(troubles):
        lines = [*_trouble(trouble)]
        left -= sum(len(line) + 1 for line in lines)
        if left < 0 and number:
            yield f"- … and {len(troubles) - number} more."
            return
        yield from lines


def _trouble(trouble: str) -> Iterator[str]:
    lines = [line.strip() for line in trouble.splitlines() if line.strip()]
    for number, line in enumerate(lines[:MAX_TROUBLE_LINES]):
        yield ("  " if number else "") + f"- {code(line, MAX_WORDS)}"
    if (more := len(lines) - MAX_TROUBLE_LINES) > 0:
        yield f"  - … and {more} lines more."


def _plugin(one: PluginReview) -> Iterator[str]:
    yield from ("", f"#### {_SIGNS[one.kind]} {code(one.plugin_id)} {one.kind}", "")
    yield f"{code(one.file)}"
    if one.fields or one.other:
        yield ""
    yield from (f"- {code(text)}" for text in one.other)
    yield from (_field(change) for change in one.fields)


def _field(change: FieldChange) -> str:
    return f"- {code(change.field)}: {_value(change.old)} → {_value(change.new)}"


def _value(value: JsonValue) -> str:
    return "nothing" if value is None else code(json.dumps(value, ensure_ascii=False))
