"""Events over HTTP: published, looked back on, followed; and the dead letters."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Final, TypeVar

from pydantic import Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.manager import OPERATOR
from orchestrator.manager.operator_events import OperatorEvents
from orchestrator.model.base import Model
from orchestrator.model.info import EventType
from orchestrator.store.event_values import Choice, DeadLetter

MAX_BODY_BYTES: Final = 65_536
"""As much as a plugin may publish at once."""
MAX_COUNT: Final = 10_000
_SUBJECT: Final = r"^[\x20-\x7e]*$"
_WHO: Final = r"^[A-Za-z0-9_.@ -]+$"
T = TypeVar("T", bound=Model)


class EventRequestInvalid(OrchestratorError):
    """An event, a choice or a number that will not do."""

    kind, code = Kind.INVALID, "event_request_invalid"


class Publish(Model):
    """`POST /v1/events`."""

    type: EventType
    subject: Annotated[str, Field(max_length=256, pattern=_SUBJECT)] = ""
    data: dict[str, JsonValue] = {}
    who: Annotated[str, Field(min_length=1, max_length=100, pattern=_WHO)] = OPERATOR


class Letters(Model):
    """`POST /v1/events/replay` and `/v1/events/discard`: exactly one of the first three."""

    ids: tuple[Annotated[str, Field(max_length=128)], ...] = ()
    plugin: str = ""
    all: bool = False
    who: Annotated[str, Field(min_length=1, max_length=100, pattern=_WHO)] = OPERATOR


class EventApi:
    """Events are CloudEvents in JSON, as subscribers get them."""

    def __init__(self, operator: OperatorEvents) -> None:
        self._operator = operator
        self.desk = operator.desk

    def routes(self) -> list[Route]:
        return [
            Route("/v1/events", self.latest, methods=["GET"]),
            Route("/v1/events", self.publish, methods=["POST"]),
            Route("/v1/events/stream", self.stream, methods=["GET"]),
            Route("/v1/events/dead", self.dead, methods=["GET"]),
            Route("/v1/events/replay", self.replay, methods=["POST"]),
            Route("/v1/events/discard", self.discard, methods=["POST"]),
        ]

    async def latest(self, request: Request) -> Response:
        bodies = await self.desk.latest(_choice(request), count=_count(request, least=0))
        return Response(b"[" + b",".join(bodies) + b"]", media_type="application/json")

    async def stream(self, request: Request) -> Response:
        choice, count = _choice(request), _count(request, least=0)

        async def lines() -> AsyncIterator[bytes]:
            async for bodies in self.desk.follow(choice, count=count):
                yield b"".join(body + b"\n" for body in bodies)

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def publish(self, request: Request) -> Response:
        wish = await _body(request, Publish)
        if wish.type.endswith(".*"):
            raise EventRequestInvalid(f"request body: type: found {wish.type}, expected one type")
        event_id = await self._operator.publish(
            wish.type, subject=wish.subject, data=_sound(wish.data), who=wish.who
        )
        return JSONResponse({"event_id": event_id}, status_code=202)

    async def dead(self, request: Request) -> Response:
        plugin = request.query_params.get("plugin", "")
        letters = await self._operator.dead(plugin, count=_count(request, least=0))
        return JSONResponse([_shown(letter) for letter in letters])

    async def replay(self, request: Request) -> Response:
        wish = await _letters(request)
        replayed = await self._operator.replay(wish.ids, wish.plugin, who=wish.who)
        return JSONResponse({"replayed": replayed})

    async def discard(self, request: Request) -> Response:
        wish = await _letters(request)
        discarded = await self._operator.discard(wish.ids, wish.plugin, who=wish.who)
        return JSONResponse({"discarded": discarded})


async def _letters(request: Request) -> Letters:
    wish = await _body(request, Letters)
    if bool(wish.ids) + bool(wish.plugin) + wish.all != 1:
        raise EventRequestInvalid("request body: expected exactly one of ids, plugin and all")
    return wish


def _shown(letter: DeadLetter) -> dict[str, JsonValue]:
    fields = asdict(letter)
    return {**fields, "body": None, "event": json.loads(letter.body)}


def _choice(request: Request) -> Choice:
    query = request.query_params
    return Choice(type=query.get("type", ""), plugin=query.get("plugin", ""))


def _count(request: Request, *, least: int = 1) -> int:
    text = request.query_params.get("count", "100")
    if not text.isascii() or not text.isdigit() or int(text[:9]) < least:
        raise EventRequestInvalid(f"query: count: found {text!r}, expected a number from {least}")
    return min(MAX_COUNT, int(text[:9]))


def _sound(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """What whoever reads it can read."""
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise EventRequestInvalid(f"request body: data: found no JSON: {error}") from error
    return data


async def _body(request: Request, model: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise EventRequestInvalid(
                f"request body: found more than {MAX_BODY_BYTES} bytes, expected less"
            )
    try:
        return model.model_validate_json(bytes(body) or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise EventRequestInvalid(f"request body: {field}: {first['msg']}") from error
