"""Pages: the rows of a SQLite file, read without the tree that leads to them. Pure.

Where the tree is damaged, its leaves are still whole. That what is read is not long deleted is
SqliteStore's doing: with `secure_delete` nothing stays on a page that is no longer part of the
table. The layout is SQLite's file format, of an index's pages: https://sqlite.org/fileformat2.html
"""

from collections.abc import Iterator
from typing import Final

PAGE_BYTES: Final = 4_096
_LEAF, _INTERIOR = 0x0A, 0x02
_HEADER_BYTES: Final = {_LEAF: 8, _INTERIOR: 12}
_MAX_LOCAL: Final = (PAGE_BYTES - 12) * 64 // 255 - 23
_MIN_LOCAL: Final = (PAGE_BYTES - 12) * 32 // 255 - 23
_LONGEST_VARINT: Final = 9
_MAX_PAYLOAD: Final = 16 << 20
_FIRST_TEXT: Final = 13


def rows(content: bytes, *, columns: int) -> Iterator[tuple[bytes, ...]]:
    """Every row of that many texts, in the pages' order; what is no such row is passed over."""
    for begin in range(0, len(content), PAGE_BYTES):
        page = content[begin : begin + PAGE_BYTES]
        if len(page) == PAGE_BYTES and page[0] in _HEADER_BYTES:
            yield from _rows_of(page, content, columns)


def _rows_of(page: bytes, content: bytes, columns: int) -> Iterator[tuple[bytes, ...]]:
    kind, cells = page[0], int.from_bytes(page[3:5], "big")
    first = _HEADER_BYTES[kind]
    for number in range(min(cells, PAGE_BYTES // 4)):
        pointer = first + 2 * number
        at = int.from_bytes(page[pointer : pointer + 2], "big")
        try:
            row = _texts(_payload(page, at + (4 if kind == _INTERIOR else 0), content))
        except (IndexError, ValueError):
            continue
        if len(row) == columns:
            yield row


def _payload(page: bytes, at: int, content: bytes) -> bytes:
    """What a cell holds, with what lies on overflow pages. Raises IndexError, ValueError."""
    size, at = _varint(page, at)
    if size > _MAX_PAYLOAD:
        raise ValueError(size)
    local = _local(size)
    if at + local > len(page):
        raise IndexError(at)
    payload = page[at : at + local]
    following = int.from_bytes(page[at + local : at + local + 4], "big") if size > local else 0
    while len(payload) < size:
        begin = (following - 1) * PAGE_BYTES
        if not 0 < begin < len(content):
            raise IndexError(following)
        payload += content[begin + 4 : begin + PAGE_BYTES][: size - len(payload)]
        following = int.from_bytes(content[begin : begin + 4], "big")
    return payload


def _local(size: int) -> int:
    """How much of a payload lies on the page itself."""
    if size <= _MAX_LOCAL:
        return size
    rest = _MIN_LOCAL + (size - _MIN_LOCAL) % (PAGE_BYTES - 4)
    return rest if rest <= _MAX_LOCAL else _MIN_LOCAL


def _texts(payload: bytes) -> tuple[bytes, ...]:
    """A record's columns, all of them texts. Raises IndexError, ValueError."""
    header_end, at = _varint(payload, 0)
    found, begin = [], header_end
    while at < header_end:
        serial, at = _varint(payload, at)
        size, rest = divmod(serial - _FIRST_TEXT, 2)
        if size < 0 or rest or begin + size > len(payload):
            raise ValueError(serial)
        found.append(payload[begin : begin + size])
        begin += size
    return tuple(found)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(number, where it ends). Raises IndexError."""
    value = 0
    for number in range(_LONGEST_VARINT):
        byte = data[at + number]
        if number == _LONGEST_VARINT - 1:
            return value << 8 | byte, at + number + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the last byte of the number
            return value, at + number + 1
    raise IndexError(at)
