"""The signatures of Standard Webhooks, as GitLab's signing tokens make them. Pure.

Signed is `ID.TIMESTAMP.BODY`, so that a message that somebody overheard is good for a few minutes
only. A header may hold several signatures, separated by blanks, while a key is being changed.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final

TOLERANCE_SECONDS: Final = 300.0
"""Between the sender's clock and ours, either way."""
PREFIX: Final = b"whsec_"
MIN_KEY_BYTES: Final = 16
_VERSION: Final = "v1,"
_MAX_ID: Final = 256
_MAX_TIME: Final = 12
_MAX_HEADER: Final = 2_048
_MAX_SIGNATURES: Final = 10


def signing_key(secret: bytes) -> bytes:
    """What is signed with: base64 behind `whsec_`, else the secret itself; empty if it is none."""
    if not secret.startswith(PREFIX):
        return secret
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return b""
    return key if len(key) >= MIN_KEY_BYTES else b""


def signed_head(headers: Mapping[str, str], now: float) -> bytes:
    """What is signed before the body; empty if a part is missing or odd, or the message is old.

    A full stop in the id could be read as the end of it, with other parts behind.
    """
    name, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= _MAX_ID) or "." in name:
        return b""
    if not (moment.isascii() and moment.isdecimal() and len(moment) <= _MAX_TIME):
        return b""
    if abs(now - int(moment)) > TOLERANCE_SECONDS:
        return b""
    return f"{name}.{moment}.".encode("ascii")


def has_signature(headers: Mapping[str, str], digest: bytes) -> bool:
    """Whether one of the signatures is `digest`; which of them is not told by the time it takes."""
    given = headers.get("webhook-signature", "")
    if len(given) > _MAX_HEADER:
        return False
    want = _VERSION.encode() + base64.b64encode(digest)
    words = given.split(" ")[:_MAX_SIGNATURES]
    fits = [hmac.compare_digest(word.encode("latin-1", "replace"), want) for word in words]
    return any(fits)
