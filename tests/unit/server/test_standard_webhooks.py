"""GitLab's signing tokens: the body, the id and the moment are signed, and an old one is stale.

The vector was made with `openssl dgst -sha256 -hmac`.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.standard_webhooks import has_signature, signed_head, signing_key
from tests.unit.server.test_webhook import BODY, NOW, Hooked

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = b"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SIGNATURE = "v1,4BL6+b9aRC5VHabUonFR4ovBCk377HJAUIdBfq/274I="
SIGNED = {
    "webhook-id": "msg-1",
    "webhook-timestamp": "1700000000",
    "webhook-signature": SIGNATURE,
}
OTHER = "v1," + base64.b64encode(bytes(32)).decode()


def signature(name: str, moment: str, *, key: bytes = KEY, version: str = "v1") -> str:
    made = hmac.new(key, f"{name}.{moment}.".encode() + BODY, hashlib.sha256).digest()
    return f"{version},{base64.b64encode(made).decode()}"


BODY_ALONE = "v1," + base64.b64encode(hmac.new(KEY, BODY, hashlib.sha256).digest()).decode()


def at(moment: str) -> dict[str, str]:
    """A message that was signed at that moment, with the right key."""
    return {
        "webhook-id": "msg-1",
        "webhook-timestamp": moment,
        "webhook-signature": signature("msg-1", moment),
    }


def named(name: str) -> dict[str, str]:
    return {**SIGNED, "webhook-id": name, "webhook-signature": signature(name, "1700000000")}


@pytest.mark.parametrize(
    "headers",
    [
        SIGNED,
        {**SIGNED, "webhook-signature": f"{OTHER} {SIGNATURE}"},
        {**SIGNED, "webhook-signature": f"{SIGNATURE} {OTHER} v1a,{'A' * 88}"},
        at("1699999700"),
        at("1700000300"),
    ],
    ids=["vector", "second", "first of many", "five minutes old", "five minutes ahead"],
)
async def test_who_signs_with_the_key_is_believed(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    async with Hooked(tmp_path, SECRET).listens() as hooked:
        assert await hooked.post(headers) == 202
        assert hooked.pushes == 1


@pytest.mark.parametrize(
    "headers",
    [
        {**SIGNED, "webhook-signature": ""},
        {**SIGNED, "webhook-signature": OTHER},
        {**SIGNED, "webhook-signature": SIGNATURE.removeprefix("v1,")},
        {**SIGNED, "webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {**SIGNED, "webhook-signature": SIGNATURE.replace("v1,", "v1a,")},
        {**SIGNED, "webhook-signature": SIGNATURE.replace(",", ", ")},
        {**SIGNED, "webhook-signature": signature("msg-1", "1700000000", key=SECRET)},
        {**SIGNED, "webhook-signature": signature("msg-1", "1700000000", key=b"")},
        {**SIGNED, "webhook-signature": f"{OTHER} " * 10 + SIGNATURE},
        {**SIGNED, "webhook-signature": "A" * 6_000 + f" {SIGNATURE}"},
        {**SIGNED, "webhook-id": "msg-2"},
        {**SIGNED, "webhook-timestamp": "1700000001"},
        {name: text for name, text in SIGNED.items() if name != "webhook-id"},
        {name: text for name, text in SIGNED.items() if name != "webhook-timestamp"},
        {name: text for name, text in SIGNED.items() if name != "webhook-signature"},
        {**SIGNED, "webhook-signature": BODY_ALONE},
        {"webhook-signature": BODY_ALONE},
        {**SIGNED, "webhook-timestamp": "0", "webhook-signature": BODY_ALONE},
        named(""),
        named("a.b"),
        named("x" * 257),
        at("1699999699"),
        at("1700000301"),
        at("17e8"),
        at("-1700000000"),
        at("+1700000000"),
        at("1700000000.0"),
        at("1" * 13),
        at(""),
    ],
)
async def test_everybody_else_is_refused_and_nothing_follows(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    async with Hooked(tmp_path, SECRET).listens() as hooked:
        assert await hooked.post(headers) == 403
        assert hooked.pushes == 0


async def test_a_signature_is_of_one_body_alone(tmp_path: Path) -> None:
    async with Hooked(tmp_path, SECRET).listens() as hooked:
        assert await hooked.post(SIGNED, BODY + b" ") == 403


async def test_the_plain_token_stays_beside_it(tmp_path: Path) -> None:
    async with Hooked(tmp_path, SECRET).listens() as hooked:
        assert await hooked.post({"X-Gitlab-Token": SECRET.decode()}) == 202
        assert await hooked.post({"X-Gitlab-Token": KEY.decode()}) == 403


async def test_a_secret_without_the_prefix_is_the_key_itself(tmp_path: Path) -> None:
    async with Hooked(tmp_path, KEY).listens() as hooked:
        assert await hooked.post(SIGNED) == 202


@pytest.mark.parametrize(
    "secret", [b"whsec_", b"whsec_no base64 at all", b"whsec_" + base64.b64encode(b"x" * 15)]
)
async def test_a_key_that_is_none_or_could_be_guessed_lets_nobody_in(
    tmp_path: Path, secret: bytes
) -> None:
    async with Hooked(tmp_path, secret).listens() as hooked:
        for key in (signing_key(secret), secret, b"x" * 15, b""):
            made = signature("msg-1", "1700000000", key=key)
            assert await hooked.post({**SIGNED, "webhook-signature": made}) == 403


def test_the_key_is_what_stands_behind_the_prefix() -> None:
    assert signing_key(SECRET) == KEY


@given(st.dictionaries(st.sampled_from([*SIGNED]), st.text()))
def test_no_words_of_any_kind_stand_in_for_a_signature(headers: dict[str, str]) -> None:
    head = signed_head(headers, NOW)

    assert not has_signature(headers, hmac.new(KEY, head + BODY, hashlib.sha256).digest())
