"""A plugin's CloudEvent, read from JSON and held to what the plugin declared. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from pydantic import JsonValue

from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.http_head import shown

RESERVED: Final = "orchestrator."
"""The orchestrator's own events: whoever hears one may trust that it was not a plugin."""
_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*")
_MAX_TYPE: Final = 200
MAX_DEPTH: Final = 64
"""Levels of an event's JSON: who writes it on, with less stack left, must be able to."""
_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_SUBJECT: Final = re.compile(r"[\x20-\x7e]{1,256}")
_TRACE: Final = re.compile(r"[0-9a-f]{2}(?:-[0-9a-f]+){3}")
_KNOWN: Final = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "data",
        "traceparent",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """An event as the host takes it from a plugin; its time is the host's."""

    type: str
    source: str
    """`plugin/<id>`, set by the host whatever the plugin wrote."""
    event_id: str
    """The plugin's own `id`, for telling repeats; empty if it gave none."""
    subject: str
    traceparent: str
    data: Mapping[str, JsonValue]


def read_event(body: bytes, *, plugin_id: str, publishes: tuple[str, ...]) -> Publication:
    """Raises Refused for what is no CloudEvent, or not one that the plugin declared."""
    event = _object(body)
    unknown = sorted(event.keys() - _KNOWN)
    if unknown:
        raise _invalid(
            f"found the attribute {_cut(unknown[0])}, expected {', '.join(sorted(_KNOWN))}"
        )
    if event.get("specversion") != "1.0":
        raise _invalid(f"found specversion {_cut(event.get('specversion'))}, expected '1.0'")
    if event.get("datacontenttype", "application/json") != "application/json":
        raise _invalid(
            f"found datacontenttype {_cut(event['datacontenttype'])}, expected application/json"
        )
    event_type = _text(event, "type", _TYPE)
    if len(event_type) > _MAX_TYPE or not event_type:
        raise _invalid(f"found type {_cut(event_type)}, expected 1 to {_MAX_TYPE} characters")
    data = event.get("data", {})
    if not isinstance(data, dict):
        raise _invalid(f"found data {_cut(data)}, expected an object")
    _check_declared(event_type, plugin_id, publishes)
    return Publication(
        type=event_type,
        source=f"plugin/{plugin_id}",
        event_id=_text(event, "id", _ID),
        subject=_text(event, "subject", _SUBJECT),
        traceparent=_text(event, "traceparent", _TRACE),
        data=data,
    )


def declares(publishes: tuple[str, ...], event_type: str) -> bool:
    """Whether the type is one of them, or below one that ends in `.*`."""
    return any(
        event_type.startswith(each[:-1]) if each.endswith(".*") else event_type == each
        for each in publishes
    )


def _check_declared(event_type: str, plugin_id: str, publishes: tuple[str, ...]) -> None:
    evidence: dict[str, JsonValue] = {"type": event_type}
    if event_type.startswith(RESERVED):
        raise Refused(
            RefusalCode.EVENT_NOT_DECLARED,
            f"found type {event_type}, expected one that does not begin with {RESERVED}",
            evidence=evidence,
        )
    if not declares(publishes, event_type):
        known = ", ".join(publishes) or "none"
        raise Refused(
            RefusalCode.EVENT_NOT_DECLARED,
            f"found type {event_type}, expected one that {plugin_id} declares in publishes: "
            f"{known}",
            evidence=evidence,
        )


def _object(body: bytes) -> dict[str, JsonValue]:
    try:
        event = json.loads(body.decode(), parse_constant=_no_constant)
        # A lone surrogate passes the parser and fails in whoever writes the text on.
        # So does 1e999, which becomes infinite.
        json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise _invalid(f"found no JSON: {error}") from error
    if not isinstance(event, dict):
        raise _invalid(f"found {type(event).__name__}, expected a CloudEvent as JSON object")
    if _deeper_than(event, MAX_DEPTH):
        raise _invalid(f"found JSON of more than {MAX_DEPTH} levels, expected at most that many")
    return event


def _deeper_than(value: JsonValue, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _text(event: Mapping[str, JsonValue], name: str, shape: re.Pattern[str]) -> str:
    value = event.get(name, "")
    if not isinstance(value, str) or (name in event and not shape.fullmatch(value)):
        raise _invalid(f"found {name} {_cut(value)}, expected text such as {shape.pattern}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"found {name}, which is no JSON")


def _cut(value: object) -> str:
    return shown(str(value).encode(errors="replace"))


def _invalid(detail: str) -> Refused:
    return Refused(RefusalCode.EVENT_INVALID, detail)
