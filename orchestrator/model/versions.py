"""SemVer 2.0 versions and npm-style ranges, as checked text (the `semantic_version` library)."""

import re
from typing import Annotated

import semantic_version
from pydantic import AfterValidator

from orchestrator.model.base import PLUGIN_ID_PATTERN, Unexpected

_SHOWN_CHARACTERS = 60
_MAX_CHARACTERS = 256
"""Longer versions are nobody's, and the library's parsers were not written for strangers."""


def _version(text: str) -> str:
    try:
        semantic_version.Version(text[:_MAX_CHARACTERS])
    except ValueError as error:
        raise Unexpected(found=_cut(text), expected="a SemVer version such as 1.2.3") from error
    return _short(text)


def _range(text: str) -> str:
    try:
        semantic_version.NpmSpec(text[:_MAX_CHARACTERS])
    except ValueError as error:
        raise Unexpected(found=_cut(text), expected="an npm-style range such as ^1.2") from error
    return _short(text)


def _short(text: str) -> str:
    if len(text) > _MAX_CHARACTERS:
        raise Unexpected(found=_cut(text), expected=f"at most {_MAX_CHARACTERS} characters")
    return text


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


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
    if not re.fullmatch(PLUGIN_ID_PATTERN, plugin_id) or (at and not version_range.strip()):
        raise Unexpected(
            found=_cut(text), expected="a plugin id or id@range, such as knowledge-search@^1.2"
        )
    return plugin_id, _range(version_range.strip() if at else "*")


def satisfies(version: str, version_range: str) -> bool:
    """Whether `version` lies within the npm-style `version_range`."""
    return semantic_version.Version(version) in semantic_version.NpmSpec(version_range)


def older(version: str, than: str) -> bool:
    """Whether `version` comes before `than` in SemVer order."""
    return bool(semantic_version.Version(version) < semantic_version.Version(than))
