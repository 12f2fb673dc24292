"""What a person or an agent types, as an FTS5 expression that is never a syntax error.

Words and "phrases in quotes" are taken; everything else that FTS5 would read as an operator is
text. Each term becomes a quoted FTS5 string, inside which only the quote itself has a meaning.
"""

import re
import unicodedata

MAX_TERMS = 32
"""More words make a query slow, not better."""

_TERM = re.compile(r'"([^"]*)"|([^\s"]+)')


def terms(query: str) -> list[str]:
    """The query's words and phrases, at most MAX_TERMS, those without a letter or digit left out.

    A word ending in `*` stands for every word that begins so; the star is kept at its end.
    """
    found: list[str] = []
    for phrase, word in _TERM.findall(clean(query)):
        term = phrase.strip() if phrase else word
        if _indexed(term) and term not in found:
            found.append(term if word.endswith("*") else term.rstrip("*"))
    return found[:MAX_TERMS]


def expression(parts: list[str], operator: str) -> str:
    """The FTS5 expression of these terms, joined by AND or OR."""
    return f" {operator} ".join(_string(part) for part in parts)


def clean(text: str) -> str:
    """Text that SQLite takes: no NUL (it would end there) and no half surrogate pairs."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _string(term: str) -> str:
    quoted = '"' + term.rstrip("*").replace('"', '""') + '"'
    return quoted + " *" if term.endswith("*") else quoted


def _indexed(term: str) -> bool:
    # The tokenizer's idea of a word: letters, numbers, private use; a term of others is no term.
    return any(unicodedata.category(character)[0] in "LN" for character in term)
