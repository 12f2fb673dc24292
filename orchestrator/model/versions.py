"""SemVer 2.0 versions and npm-style ranges, as checked text (the `semantic_version` library)."""

from typing import Annotated

import semantic_version
from pydantic import AfterValidator

CORE_VERSION = "0.1.0"
"""This orchestrator's version: what `min_core_version` and `max_core_version` are held against."""


def _version(text: str) -> str:
    semantic_version.Version(text)
    return text


def _range(text: str) -> str:
    semantic_version.NpmSpec(text)
    return text


def _dependency(text: str) -> str:
    parse_dependency(text)
    return text


Version = Annotated[str, AfterValidator(_version)]
VersionRange = Annotated[str, AfterValidator(_range)]
Dependency = Annotated[str, AfterValidator(_dependency)]
"""`id` or `id@range`: `knowledge-search@^1.2`."""


def parse_dependency(text: str) -> tuple[str, str]:
    """(plugin id, range); without a range any version will do, written `*`.

    Raises ValueError for a range that npm would not take.
    """
    plugin_id, at, version_range = text.partition("@")
    if at and not version_range.strip():
        raise ValueError(f"Invalid dependency {text!r}: a version range follows '@'")
    return plugin_id, _range(version_range.strip() if at else "*")


def satisfies(version: str, version_range: str) -> bool:
    """Whether `version` lies within the npm-style `version_range`."""
    return semantic_version.Version(version) in semantic_version.NpmSpec(version_range)


def older(version: str, than: str) -> bool:
    """Whether `version` comes before `than` in SemVer order."""
    return bool(semantic_version.Version(version) < semantic_version.Version(than))
