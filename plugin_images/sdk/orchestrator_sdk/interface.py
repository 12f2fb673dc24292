"""PluginInterface, the class an author implements, and the values it exchanges with the host."""

from binascii import a2b_base64
from collections.abc import Awaitable, Mapping
from math import isfinite
from typing import Any, Self

from orchestrator_sdk.context import PluginContext
from orchestrator_sdk.errors import InputError, PluginError
from orchestrator_sdk.pages import UiRequest
from orchestrator_sdk.tools import has_tools

_STATES = ("ready", "degraded", "error")


class PluginStatus:
    """What a health probe learns; the metrics are exported as gauges."""

    __slots__ = ("detail", "metrics", "state")

    def __init__(
        self,
        state: str = "ready",
        detail: str = "",
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        if state not in _STATES:
            raise ValueError(f"state {state!r} found, one of {', '.join(_STATES)} expected")
        self.state = state
        self.detail = detail
        self.metrics = dict(metrics or {})
        for name, value in self.metrics.items():
            if not isinstance(value, int | float) or not isfinite(value):
                raise ValueError(f"metric {name!r}: {value!r} found, a finite number expected")

    def __repr__(self) -> str:
        return f"PluginStatus({self.state!r}, {self.detail!r}, {self.metrics!r})"

    def as_dict(self) -> dict[str, Any]:
        return {"state": self.state, "detail": self.detail, "metrics": self.metrics}


class PluginEvent:
    """A CloudEvent 1.0; what is no attribute of the standard lies in `extensions`."""

    __slots__ = (
        "data",
        "datacontenttype",
        "dataschema",
        "extensions",
        "id",
        "source",
        "specversion",
        "subject",
        "time",
        "type",
    )

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        """From the JSON form; raises InputError when a required attribute is missing."""
        rest = dict(attributes)
        self.id: str = self._required(rest, "id")
        self.source: str = self._required(rest, "source")
        self.type: str = self._required(rest, "type")
        self.specversion: str = rest.pop("specversion", "1.0")
        self.subject: str | None = rest.pop("subject", None)
        self.time: str | None = rest.pop("time", None)
        """RFC 3339, as it came."""
        self.datacontenttype: str | None = rest.pop("datacontenttype", None)
        self.dataschema: str | None = rest.pop("dataschema", None)
        encoded = rest.pop("data_base64", None)
        self.data: Any = rest.pop("data", None) if encoded is None else self._decoded(encoded)
        self.extensions: dict[str, Any] = rest

    @staticmethod
    def _required(attributes: dict[str, Any], name: str) -> str:
        value = attributes.pop(name, None)
        if not isinstance(value, str) or not value:
            raise InputError(f"event: {name} {value!r} found, a non-empty string expected")
        return value

    @staticmethod
    def _decoded(text: Any) -> bytes:
        try:
            return a2b_base64(text, strict_mode=True)
        except (TypeError, ValueError) as error:
            raise InputError(f"event: data_base64 is not base64: {error}") from error

    def __repr__(self) -> str:
        return f"PluginEvent(id={self.id!r}, source={self.source!r}, type={self.type!r})"


class PluginInterface:
    """Implement `execute`, methods marked `@tool` or `handle_ui`; each may be `async def`.

    Plain methods run in several threads at once, as many as `max_concurrent_requests`; all
    `async def` methods share one event loop. `self.config` and `self.context` are set before
    `initialize` is called.
    """

    config: Mapping[str, Any]
    context: PluginContext

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Not `abstractmethod`: a class of tools needs no `execute`, which mypy could not know.
        has_either = (
            cls.execute is not PluginInterface.execute
            or cls.handle_ui is not PluginInterface.handle_ui
        )
        if not has_either and not has_tools(cls):
            raise TypeError(f"{cls.__name__} has neither an execute method, a @tool nor handle_ui")
        return super().__new__(cls)

    def initialize(
        self, config: Mapping[str, Any], context: PluginContext
    ) -> bool | Awaitable[bool]:
        """Open what the plugin needs; False, or an exception, fails the start."""
        return True

    def execute(self, input_data: Any) -> Any:
        """Answer a call.

        `input_data` is the decoded JSON value, None for an empty body, or the bytes of any other
        content type. Return what JSON can say, or bytes, or an iterator of bytes to be streamed.
        """
        raise PluginError(
            f"{type(self).__name__} offers tools only: name one of them in X-Tool",
            404,
            code="tool_expected",
        )

    def cleanup(self) -> bool | Awaitable[bool]:
        """Release what `initialize` opened; called once, before a wanted stop."""
        return True

    def get_status(self) -> PluginStatus | Awaitable[PluginStatus]:
        """Answer a health probe; keep it cheap."""
        return PluginStatus()

    def handle_event(self, event: PluginEvent) -> Awaitable[None] | None:
        """Take an event that plugin.yaml subscribes to; an exception has it delivered again."""
        raise PluginError(
            f"{type(self).__name__} subscribes to {event.type} but has no handle_event",
            501,
            code="events_not_handled",
        )

    def handle_ui(
        self, request: UiRequest
    ) -> tuple[int, str, bytes | str] | Awaitable[tuple[int, str, bytes | str]]:
        """Answer a browser's request for a page: status, content type and body.

        Nothing else of an answer reaches the browser: no header, cookie or redirect.
        """
        raise PluginError(f"{type(self).__name__} has no pages", 404, code="no_pages")
