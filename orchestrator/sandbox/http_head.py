"""A request's head, read strictly: whatever two readers could read in two ways is refused.

Pure. The brokers forward what they read in their own words, so a head that passed here means to
everyone behind what it meant here; request smuggling lives on the difference.
"""

import re
from dataclasses import dataclass
from typing import Final

from orchestrator.sandbox.broker import RefusalCode, Refused

MAX_HEADERS: Final = 100
_SHOWN_BYTES: Final = 60
_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])"
)
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_SINGLE: Final = (b"host", b"content-length", b"transfer-encoding", b"expect", b"x-request-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """Framed by `content_length` or by chunks, never by both."""

    method: str
    target: bytes
    minor: int
    """Of the version: HTTP/1.0 or HTTP/1.1."""
    headers: tuple[tuple[bytes, bytes], ...]
    """As they came, in order; names in the writer's own case."""
    content_length: int = 0
    chunked: bool = False

    def header(self, name: bytes) -> bytes:
        """The first of that (lower-case) name, empty where there is none."""
        return next((value for each, value in self.headers if each.lower() == name), b"")

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0

    @property
    def keep_alive(self) -> bool:
        return self.minor == 1 and b"close" not in self.header(b"connection").lower()


def parse_head(head: bytes) -> RequestHead:
    """The head without its last empty line. Raises Refused."""
    first, *rows = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise malformed(f"found {shown(first)} as request line, expected METHOD TARGET HTTP/1.1")
    if len(rows) > MAX_HEADERS:
        raise malformed(f"found {len(rows)} headers, expected at most {MAX_HEADERS}")
    headers = tuple(_header(row) for row in rows)
    names = [name.lower() for name, _ in headers]
    for single in _SINGLE:
        if names.count(single) > 1:
            raise malformed(f"found {single.decode()} more than once, expected it once")
    fields = dict(zip(names, (value for _, value in headers), strict=True))
    minor = int(line[3])
    length, chunked = _framing(fields, minor)
    return RequestHead(
        method=line[1].decode(),
        target=line[2],
        minor=minor,
        headers=headers,
        content_length=length,
        chunked=chunked,
    )


def malformed(detail: str) -> Refused:
    return Refused(RefusalCode.MALFORMED_REQUEST, detail)


def shown(raw: bytes) -> str:
    """Bytes of a stranger's, fit for a message."""
    text = ascii(raw[:_SHOWN_BYTES].decode("latin-1"))
    return text if len(raw) <= _SHOWN_BYTES else f"{text[:-1]}…'"


def _header(row: bytes) -> tuple[bytes, bytes]:
    name, colon, value = row.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        # Also a folded line, and a space before the colon.
        raise malformed(f"found {shown(row)} as header, expected `Name: value`")
    if _CONTROL.search(value):
        raise malformed(f"found a control character in header {shown(name)}, expected none")
    return name, value.strip(b" \t")


def _framing(fields: dict[bytes, bytes], minor: int) -> tuple[int, bool]:
    length = fields.get(b"content-length")
    encoding = fields.get(b"transfer-encoding")
    if length is not None and encoding is not None:
        raise malformed("found both Content-Length and Transfer-Encoding, expected one of them")
    if encoding is not None and (encoding.lower() != b"chunked" or minor == 0):
        raise malformed(f"found Transfer-Encoding {shown(encoding)}, expected chunked in HTTP/1.1")
    if length is not None and not _LENGTH.fullmatch(length):
        raise malformed(f"found Content-Length {shown(length)}, expected a number of bytes")
    expect = fields.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise malformed(f"found Expect {shown(expect)}, expected 100-continue")
    return int(length or b"0"), encoding is not None
