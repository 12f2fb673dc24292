"""Values of a file that SOPS encrypted for age: the one home of AES-GCM.

Read only, YAML and JSON, as https://getsops.io/docs describes the format and SOPS 3.8 writes it:
every value is `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`, sealed with one data key, its path being
bound to it; the data key is encrypted with age for each recipient; and a MAC over all values keeps
anybody from taking out, moving or exchanging one. Key groups (Shamir) are not read.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import JsonValue

from orchestrator.manager.age_values import AgeKey, Undecipherable
from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import InvalidFile

METADATA: Final = "sops"
_SEALED: Final = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]*),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),"
    r"type:(str|int|float|bool|bytes)\]"
)
_MAC_OF_ENCRYPTED: Final = hashlib.sha256(b"sops").digest()
"""Begins the MAC where only encrypted values are in it, so that the two kinds never agree."""
_KEY_BYTES: Final = 32

_Path = tuple[str, ...]


def sops_value(data: bytes, file: str, key: str, age_key: AgeKey) -> bytes:
    """The value at `key`, once the whole file proved to be what was written.

    Raises Undecipherable.
    """
    try:
        tree = parse_tree(data, file).data
    except InvalidFile as error:
        line = error.problems[0].line
        raise Undecipherable(f"is neither YAML nor JSON (line {line})") from None
    metadata = tree.get(METADATA) if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or not isinstance(metadata, dict):
        raise Undecipherable(f"was not written by SOPS: it has no {METADATA!r}")
    content: JsonValue = {name: value for name, value in tree.items() if name != METADATA}
    sealed, path = _find(content, key)
    data_key = _data_key(metadata, age_key)
    _verify(content, metadata, data_key)
    return _open(sealed, data_key, path)


def _find(content: JsonValue, key: str) -> tuple[str, _Path]:
    """The sealed text at the dotted key, and the names on the way to it."""
    value = content
    path: _Path = ()
    for step in key.split("."):
        if isinstance(value, dict) and step in value:
            value, path = value[step], (*path, step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]  # places in a list are no part of the path
        else:
            raise Undecipherable("has no value at that key")
    if not isinstance(value, str) or _SEALED.fullmatch(value) is None:
        raise Undecipherable("has no encrypted value at that key")
    return value, path


def _data_key(metadata: Mapping[str, JsonValue], age_key: AgeKey) -> bytes:
    recipients = metadata.get("age")
    if metadata.get("key_groups") or not isinstance(recipients, list) or not recipients:
        raise Undecipherable("names no recipients of age, or groups of them")
    for recipient in recipients:
        sealed = recipient.get("enc") if isinstance(recipient, dict) else None
        if not isinstance(sealed, str):
            continue
        try:
            key = age_key.decrypt(sealed.encode())
        except Undecipherable:
            continue  # another's
        if len(key) == _KEY_BYTES:
            return key
    raise Undecipherable("is encrypted for none of our keys")


def _verify(content: JsonValue, metadata: Mapping[str, JsonValue], data_key: bytes) -> None:
    """That the file is whole, every value in its place."""
    sealed, at = metadata.get("mac"), metadata.get("lastmodified")
    if not isinstance(sealed, str) or not isinstance(at, str):
        raise Undecipherable("has no MAC")
    only_encrypted = metadata.get("mac_only_encrypted") is True
    digest = hashlib.sha512(_MAC_OF_ENCRYPTED if only_encrypted else b"")
    for value, path in _leaves(content, ()):
        if isinstance(value, str) and _SEALED.fullmatch(value):
            digest.update(_open(value, data_key, path))
        elif not only_encrypted:
            digest.update(_plain(value))
    expected = _unseal(sealed, data_key, at.encode())
    if not hmac.compare_digest(digest.hexdigest().upper().encode(), expected):
        raise Undecipherable("was changed after SOPS wrote it: its MAC does not fit")


def _leaves(value: JsonValue, path: _Path) -> Iterator[tuple[JsonValue, _Path]]:
    """Every value without parts, in the file's order; there is no null among them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    elif value is not None:
        yield value, path


def _plain(value: JsonValue) -> bytes:
    """An unencrypted value as the MAC has it."""
    match value:
        case float():
            return f"{Decimal(repr(value)).normalize():f}".encode()
        case _:
            return str(value).encode()


def _open(sealed: str, data_key: bytes, path: _Path) -> bytes:
    return _unseal(sealed, data_key, (":".join(path) + ":").encode())


def _unseal(sealed: str, data_key: bytes, bound_to: bytes) -> bytes:
    match = _SEALED.fullmatch(sealed)
    if match is None:
        raise Undecipherable("has a value that is not sealed as SOPS does it")
    try:
        data, nonce, tag = (base64.b64decode(part, validate=True) for part in match.groups()[:3])
        return AESGCM(data_key).decrypt(nonce, data + tag, bound_to)
    except (ValueError, InvalidTag):
        raise Undecipherable("has a value that was changed or moved") from None
