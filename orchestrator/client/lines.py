"""Lines: an answer of JSON lines, read as they come, of which none is lost in silence."""

import http.client
import json
from collections.abc import Iterator
from typing import Any, Final

_CHUNK: Final = 65_536


def pieces_of(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """An answer of any length as it comes. Raises http.client.IncompleteRead where it is cut."""
    while data := response.read1(_CHUNK):
        yield data
    if response.length:
        raise http.client.IncompleteRead(b"")


def lines_of(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Each line once it is whole. Raises http.client.IncompleteRead where the answer is cut.

    Not `for line in response`: that takes an end of the connection for the end of the answer.
    """
    rest = b""
    while data := response.read1(_CHUNK):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
    if rest or response.length:
        raise http.client.IncompleteRead(rest)
