"""The `@tool` decorator, and how a tool's input is held against its method's parameters.

Parameters are read from the code object once: `inspect` would cost the start 10 ms.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

from orchestrator_sdk.errors import InputError

_Function = TypeVar("_Function", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MARK = "__orchestrator_tool__"
_VAR_KEYWORD = 0x08  # inspect.CO_VARKEYWORDS


@overload
def tool(function: _Function, /) -> _Function: ...
@overload
def tool(*, name: str) -> Callable[[_Function], _Function]: ...
def tool(function: Any = None, /, *, name: str | None = None) -> Any:
    """Offer a method as a named operation; the input object's members become its keywords."""

    def mark(method: Any) -> Any:
        chosen = method.__name__ if name is None else name
        if not _NAME.fullmatch(chosen):
            raise ValueError(f"tool name {chosen!r} found, {_NAME.pattern} expected")
        setattr(method, _MARK, chosen)
        return method

    return mark if function is None else mark(function)


class Tool:
    """One method, ready to be called with a JSON object."""

    __slots__ = ("_allowed", "_method", "_required", "name")

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        self.name = name
        self._method = method
        self._allowed: frozenset[str] | None = None
        self._required: frozenset[str] = frozenset()
        self._read_parameters()

    def __call__(self, arguments: dict[str, Any]) -> Any:
        """Raises InputError for members missing or unknown."""
        missing = self._required - arguments.keys()
        if missing:
            raise InputError(f"tool {self.name}: {_members(missing)} expected, not found")
        if self._allowed is not None and not self._allowed.issuperset(arguments):
            unknown = arguments.keys() - self._allowed
            takes = _members(self._allowed) if self._allowed else "no members"
            raise InputError(f"tool {self.name}: {_members(unknown)} found, {takes} expected")
        return self._method(**arguments)

    def _read_parameters(self) -> None:
        function = getattr(self._method, "__func__", self._method)
        code = getattr(function, "__code__", None)
        if code is None:  # a callable object: it checks its own arguments
            return
        if code.co_posonlyargcount > 1:
            raise TypeError(f"tool {self.name}: positional-only parameters cannot be given by name")
        positional = code.co_varnames[: code.co_argcount]
        if getattr(self._method, "__self__", None) is not None:
            positional = positional[1:]
        keyword_end = code.co_argcount + code.co_kwonlyargcount
        keyword = code.co_varnames[code.co_argcount : keyword_end]
        with_default = function.__kwdefaults__ or {}
        required_count = max(0, len(positional) - len(function.__defaults__ or ()))
        # A decorator's wrapper takes anything: what its function wants is not ours to know.
        if not code.co_flags & _VAR_KEYWORD:
            self._allowed = frozenset(positional) | frozenset(keyword)
        self._required = frozenset(positional[:required_count]) | (
            frozenset(keyword) - with_default.keys()
        )


def _members(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def has_tools(plugin_class: type) -> bool:
    """Whether the class or one of its bases offers a tool."""
    return bool(_marked(plugin_class))


def _marked(plugin_class: type) -> dict[str, str]:
    """Attribute → tool name; looked up on the class, so that no property runs."""
    found = {}
    for attribute in dir(plugin_class):
        name = getattr(getattr(plugin_class, attribute, None), _MARK, None)
        if isinstance(name, str):
            found[attribute] = name
    return found


def tools_of(plugin: object) -> dict[str, Tool]:
    """The plugin's tools by name. Raises TypeError when two methods take the same name."""
    tools: dict[str, Tool] = {}
    for attribute, name in _marked(type(plugin)).items():
        if name in tools:
            raise TypeError(f"{type(plugin).__name__} offers tool {name!r} twice")
        tools[name] = Tool(name, getattr(plugin, attribute))
    return tools
