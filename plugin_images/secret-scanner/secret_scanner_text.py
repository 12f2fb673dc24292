"""Scanning one text: lines in, findings out, the secret itself left behind.

The text is scanned in memory, so that nothing that may hold a secret is written anywhere, and in
blocks of lines, so that a caller can stop in between.
"""

import hashlib
import hmac
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePosixPath

from detect_secrets.filters import allowlist, heuristic
from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector
from detect_secrets.plugins.high_entropy_strings import HighEntropyStringsPlugin
from detect_secrets.plugins.keyword import DENYLIST, KeywordDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.util.code_snippet import get_code_snippet

PIECE_CHARACTERS = 4_096
"""Longer lines are scanned in pieces: some patterns take quadratic time."""
OVERLAP_CHARACTERS = 256
"""What two pieces share, so that a secret across the cut is whole in one of them."""
BLOCK_CHARACTERS = 1 << 16
SHOWN_CHARACTERS = 4
_OVERLAP_FROM = 8

_ASSIGNMENT = re.compile(
    r"^[\s-]*(?:export\s+)?[\"']?([\w.-]+)[\"']?\s*[:=]\s*([^\s\"'#]{6,512})\s*$"
)
"""`key: value` and `KEY=value` without quotes, as configuration files have them."""
_SOURCE_SUFFIXES = frozenset(
    {".c", ".cc", ".cls", ".cpp", ".cs", ".dart", ".go", ".h", ".hpp", ".java", ".js", ".jsx"}
    | {".kt", ".lua", ".m", ".php", ".pl", ".py", ".pyi", ".r", ".rb", ".rs", ".scala", ".swift"}
    | {".ts", ".tsx"}
)
"""In source code an unquoted right-hand side is an expression, not a value."""
_ANY = re.compile(r".+")
_KEYWORDS = re.compile("|".join(DENYLIST), re.IGNORECASE)

Block = list[tuple[int, str]]
"""(line, piece of it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Where a secret lies and how to tell it from others, never what it is."""

    type: str
    detector: str
    line: int
    preview: str
    fingerprint: str


def preview(secret: str) -> str:
    """At most four characters and at most a fifth of the secret, then its length."""
    shown = secret[: min(SHOWN_CHARACTERS, len(secret) // 5)]
    return f"{shown}… ({len(secret)} characters)"


def fingerprint(secret: str, key: bytes) -> str:
    """Keyed, because a plain hash of a weak password can be guessed back."""
    return hmac.new(key, secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScanner:
    """The detectors with the filters that weed out what only looks like a secret."""

    detectors: Sequence[BasePlugin]
    fingerprint_key: bytes
    honour_allowlist: bool = True

    def scan(self, text: str, path: str, *, stop: Callable[[], bool]) -> Iterator[Finding]:
        """Findings in the order of lines; one for each secret of a line, the most telling type.

        `path` decides how a line is read (source code or configuration). Ends early when `stop`
        says so.
        """
        lines = text.splitlines()
        seen: dict[int, list[str]] = {}
        for block in _blocks(path, lines):
            for number, rank, index in sorted(self._candidates(block)):
                if stop():
                    return
                if not self._allowed(path, lines, number):
                    secrets = _secrets(self.detectors[rank], path, block[index][1])
                    for secret in _unseen(secrets, seen.setdefault(number, [])):
                        yield self._finding(self.detectors[rank], secret, lines, number)
            if stop():
                return

    def _candidates(self, block: Block) -> set[tuple[int, int, int]]:
        """(line, detector, piece) worth a look: each pattern once over the whole block.

        A detector costs some microseconds for every line that it is asked about, a pattern over
        a block about as much for a hundred lines.
        """
        text = "\n".join(piece for _, piece in block)
        starts = [0, *accumulate(len(piece) + 1 for _, piece in block)]
        found = set()
        for rank, detector in enumerate(self.detectors):
            for pattern in first_looks(detector):
                for match in pattern.finditer(text):
                    first = bisect_right(starts, match.start()) - 1
                    last = bisect_right(starts, match.end()) - 1
                    # A match over a line's end may hide one that lies in either line.
                    for index in range(first, min(last + 1, len(block))):
                        found.add((block[index][0], rank, index))
        return found

    def _allowed(self, path: str, lines: list[str], number: int) -> bool:
        if not self.honour_allowlist:
            return False
        context = get_code_snippet(lines, number, lines_of_context=1)
        return bool(
            allowlist.is_line_allowlisted(filename=path, line=lines[number - 1], context=context)
        )

    def _finding(self, detector: BasePlugin, secret: str, lines: list[str], number: int) -> Finding:
        material = secret
        if isinstance(detector, PrivateKeyDetector):
            # The detector matches the key's first line, which is the same for every key.
            material = "\n".join(lines[number - 1 : number + 2])
        return Finding(
            type=str(detector.secret_type),
            detector=type(detector).__name__,
            line=number,
            preview=preview(secret),
            fingerprint=fingerprint(material, self.fingerprint_key),
        )


def first_looks(detector: BasePlugin) -> Sequence[re.Pattern[str]]:
    """Patterns of which one matches wherever the detector finds something."""
    if isinstance(detector, HighEntropyStringsPlugin):
        return (detector.regex,)
    if isinstance(detector, KeywordDetector):
        return (_KEYWORDS,)
    return tuple(detector.denylist) if isinstance(detector, RegexBasedDetector) else (_ANY,)


def _unseen(secrets: list[str], seen: list[str]) -> Iterator[str]:
    """The secrets that no detector before reported on this line; adds them to `seen`."""
    for secret in secrets:
        if not any(_overlap(secret, other) for other in seen):
            seen.append(secret)
            yield secret


def _overlap(one: str, other: str) -> bool:
    """Whether two matches of one line are one secret; a short one lies in others by chance."""
    if min(len(one), len(other)) < _OVERLAP_FROM:
        return one == other
    return one in other or other in one


def _blocks(path: str, lines: list[str]) -> Iterator[Block]:
    block: Block = []
    size = 0
    source = PurePosixPath(path).suffix.lower() in _SOURCE_SUFFIXES
    for number, line in enumerate(lines, start=1):
        for piece in _pieces(line, source=source):
            block.append((number, piece))
            size += len(piece)
        if size >= BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    yield block


def _pieces(line: str, *, source: bool) -> Iterator[str]:
    step = PIECE_CHARACTERS - OVERLAP_CHARACTERS
    for start in range(0, max(len(line) - OVERLAP_CHARACTERS, 1), step):
        yield line[start : start + PIECE_CHARACTERS]
    assignment = None if source else _ASSIGNMENT.match(line[:PIECE_CHARACTERS])
    if assignment:
        # The entropy and keyword detectors ask for quotes to keep quiet on prose.
        yield f'{assignment[1]} = "{assignment[2]}"'


def _secrets(detector: BasePlugin, path: str, piece: str) -> list[str]:
    found = {
        str(potential.secret_value)
        for potential in detector.analyze_line(filename=path, line=piece)
        if potential.secret_value
    }
    return sorted(secret for secret in found if not _looks_harmless(secret, piece, detector))


def _looks_harmless(secret: str, line: str, detector: BasePlugin) -> bool:
    return (
        heuristic.is_sequential_string(secret)
        or heuristic.is_potential_uuid(secret)
        or heuristic.is_likely_id_string(secret, line, detector)
        or heuristic.is_templated_secret(secret)
        or heuristic.is_prefixed_with_dollar_sign(secret)
        or heuristic.is_indirect_reference(line)
        or heuristic.is_not_alphanumeric_string(secret)
    )
