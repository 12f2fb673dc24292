"""A writer of SOPS' format, from its published description: the reader's counterpart in tests.

Made apart from the reader, and in other words: an order of steps as a person would do it by hand.
"""

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any

import pyrage
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LAST_MODIFIED = "2026-11-29T12:00:00Z"


def seal(key: bytes, kind: str, plain: bytes, bound_to: str) -> str:
    """ENC[…] with a nonce of 32 bytes, as SOPS writes it."""
    nonce = os.urandom(32)
    both = AESGCM(key).encrypt(nonce, plain, bound_to.encode())
    data, tag, iv = (base64.b64encode(part).decode() for part in (both[:-16], both[-16:], nonce))
    return f"ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]"


def as_bytes(value: Any) -> tuple[str, bytes]:
    """SOPS' name for the type, and what it encrypts."""
    if value is True or value is False:
        return "bool", b"True" if value else b"False"
    if isinstance(value, int):
        return "int", b"%d" % value
    if isinstance(value, float):
        return "float", f"{value:.10f}".rstrip("0").rstrip(".").encode()
    return "str", value.encode()


def encrypted(
    data: dict[str, Any],
    *recipients: pyrage.x25519.Recipient,
    mac_only_encrypted: bool = False,
    clear: Callable[[str], bool] = lambda name: name.endswith("_unencrypted"),
) -> dict[str, Any]:
    """The document, with its metadata."""
    key = os.urandom(32)
    mac = hashlib.sha512()
    if mac_only_encrypted:
        mac.update(hashlib.sha256(b"sops").digest())

    def one(value: Any, path: list[str], *, hidden: bool) -> Any:
        kind, plain = as_bytes(value)
        if hidden or not mac_only_encrypted:
            mac.update(plain)
        if not hidden or plain == b"":
            return value
        return seal(key, kind, plain, "".join(f"{name}:" for name in path))

    def walk(value: Any, path: list[str], *, hidden: bool) -> Any:
        if isinstance(value, dict):
            return {
                name: walk(inner, [*path, name], hidden=hidden and not clear(name))
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [walk(inner, path, hidden=hidden) for inner in value]
        return None if value is None else one(value, path, hidden=hidden)

    body = walk(data, [], hidden=True)
    return {**body, "sops": _metadata(key, mac.hexdigest().upper(), recipients, mac_only_encrypted)}


def _metadata(
    key: bytes,
    mac: str,
    recipients: tuple[pyrage.x25519.Recipient, ...],
    mac_only_encrypted: bool,  # noqa: FBT001 - of one caller
) -> dict[str, Any]:
    return {
        "age": [
            {
                "recipient": str(recipient),
                "enc": pyrage.encrypt(key, [recipient], armored=True).decode(),
            }
            for recipient in recipients
        ],
        "lastmodified": LAST_MODIFIED,
        "mac": seal(key, "str", mac.encode(), LAST_MODIFIED),
        "unencrypted_suffix": "_unencrypted",
        "version": "3.8.1",
        **({"mac_only_encrypted": True} if mac_only_encrypted else {}),
    }
