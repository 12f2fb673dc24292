"""SecretSource: where a secret's value lies; Reference: one such place of one manifest.

Never the value itself: manifests lie in repositories.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from orchestrator.model.base import Model, Unexpected
from orchestrator.model.files import beside

VARIABLE_PATTERN = r"^[A-Z][A-Z0-9_]{0,62}$"
VARIABLE_PREFIX = "ORCHESTRATOR_SECRET_"
"""A manifest names what follows it: no other variable of the daemon's can be asked for."""
KINDS = ("file", "environment", "age", "sops")


class SecretFile(Model):
    """Where a secret of the orchestrator's own lies: always in a file."""

    file: Annotated[str, Field(min_length=1)]
    """A file, relative to the folder of what names it."""


class SecretSource(Model):
    """Exactly one of the four."""

    file: Annotated[str, Field(min_length=1)] | None = None
    """A file with the value, relative to the manifest's folder."""
    environment: Annotated[str, Field(pattern=VARIABLE_PATTERN)] | None = None
    """A variable of the daemon's, without ORCHESTRATOR_SECRET_ before it."""
    age: Annotated[str, Field(min_length=1)] | None = None
    """A file that age encrypted, as a whole."""
    sops: Annotated[str, Field(min_length=1)] | None = None
    """A YAML or JSON file that SOPS encrypted for age."""
    key: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    """Which value of the SOPS file: names and numbers, joined by dots."""

    @model_validator(mode="after")
    def _one_of_four(self) -> Self:
        named = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            found = " and ".join(named) or "none of them"
            raise Unexpected(found=found, expected=f"exactly one of {', '.join(KINDS)}")
        if (self.key is None) == (self.sops is not None):
            found = "sops without key" if self.sops is not None else f"key with {named[0]}"
            raise Unexpected(found=found, expected="key with sops, and with nothing else")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def place(self) -> str:
        """As it is written; with its kind, where it is no plain file's."""
        written = str(getattr(self, self.kind))
        if self.file is not None:
            return written
        return f"{self.kind}:{written}" + (f"#{self.key}" if self.key is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One value that a manifest refers to."""

    field: str
    """Where the manifest says it, for messages: `m.yaml: spec.secrets.token`."""
    source: SecretSource
    folder: Path
    """The manifest's own."""
    path: Path | None
    """Absolute; None for a variable."""

    @property
    def where(self) -> str:
        """The field down to its last step."""
        return f"{self.field}.{self.source.kind}"

    @property
    def confined(self) -> bool:
        """Whether a link must not lead it out of the folder, as it is written to lie in there."""
        written = str(getattr(self.source, self.source.kind))
        return (
            self.path is not None
            and not Path(written).is_absolute()
            and self.path.is_relative_to(self.folder.absolute())
        )


def files_of(sources: Mapping[str, SecretSource], origin: Path) -> dict[str, str]:
    """The file of each that has one, absolute; `origin` is the manifest's."""
    return {
        name: str(beside(origin, getattr(source, source.kind)))
        for name, source in sorted(sources.items())
        if source.environment is None
    }


def references(
    sources: Mapping[str, SecretSource], files: Mapping[str, str], *, origin: Path, field: str
) -> dict[str, Reference]:
    """By name or host, in order; `files` are what `files_of` found when they were asked for."""
    return {
        name: Reference(
            field=f"{origin}: {field}.{name}",
            source=source,
            folder=origin.parent,
            path=Path(files[name]) if name in files else None,
        )
        for name, source in sorted(sources.items())
    }
