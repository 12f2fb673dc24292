"""The closed, frozen base of everything that is read from files or sent over HTTP."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Unexpected(ValueError):
    """What a validator raises: said in the words that a problem in a file is told in."""

    def __init__(self, *, found: str, expected: str, field: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found, self.expected = found, expected
        self.field = field
        """Where, below the validated value; empty for the value itself."""


PLUGIN_ID_PATTERN = r"^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$"
NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"

PluginId = Annotated[str, Field(pattern=PLUGIN_ID_PATTERN)]
"""Also the container's hostname, hence lower case, digits and hyphens (RFC 1123)."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A share, database or secret: it becomes a file name inside the container."""


class Model(BaseModel):
    """Unknown fields are refused, values do not change, numbers are not guessed from text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
