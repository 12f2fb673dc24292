"""pin: which manifests get which image, and how their text says it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.environments import name_of
from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import FieldPath, InvalidFile, shown
from orchestrator.model.tree import Tree
from orchestrator.model.yaml_edit import with_scalar

IMAGE: Final[FieldPath] = ("spec", "source", "image")
_NAME: Final = r"[a-z0-9][a-z0-9._-]*"
_REPOSITORY: Final = re.compile(rf"(?:{_NAME}(?::[0-9]{{1,5}})?/)?{_NAME}(?:/{_NAME})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MOST: Final = 512


class PinInvalid(OrchestratorError):
    """What is to be pinned, or to what, is said in a way that means nothing."""

    kind, code = Kind.INVALID, "pin_invalid"


class NothingToPin(OrchestratorError):
    """No manifest has an image that is meant."""

    kind, code = Kind.NOT_FOUND, "nothing_to_pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A reference in its parts: `ghcr.io/acme/weather:1.2.3@sha256:…`."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """Raises PinInvalid."""
        rest, at, digest = text.partition("@")
        repository, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:  # that was a port, or nothing
            repository, colon, tag = rest, "", ""
        fine = (
            len(text) <= _MOST
            and _REPOSITORY.fullmatch(repository)
            and (not colon or _TAG.fullmatch(tag))
            and (not at or _DIGEST.fullmatch(digest))
        )
        if not fine:
            raise PinInvalid(
                f"image: found {shown(text)}, expected NAME, NAME:TAG, or either with @sha256:…"
            )
        return cls(repository=repository, tag=tag, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What is asked for; at least one of the last three."""

    plugin: str | None = None
    """None: every plugin whose image is of the same repository."""
    image: Image | None = None
    version: str | None = None
    digest: str | None = None

    def check(self) -> None:
        """Raises PinInvalid."""
        if self.image is None and self.version is None and self.digest is None:
            raise PinInvalid("found nothing to pin to, expected --image, --version or --digest")
        if self.image is not None and (self.version is not None or self.digest is not None):
            raise PinInvalid("found --image beside --version or --digest, expected one of both")
        if self.image is None and self.plugin is None:
            raise PinInvalid("found --version or --digest for every plugin, expected --plugin too")
        if self.image is not None and not (self.image.tag or self.image.digest):
            raise PinInvalid(f"found {self.image} without tag and digest, expected one of them")

    def over(self, old: Image) -> Image:
        """What stands in the manifest afterwards. Raises PinInvalid.

        A digest goes with the version that it was of.
        """
        if self.image is not None:
            return self.image
        version = f":{self.version or old.tag}" if self.version or old.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return Image.of(f"{old.repository}{version}{digest}")

    def means(self, plugin_id: str, old: str) -> bool:
        if self.plugin is not None:
            return plugin_id == self.plugin
        try:
            repository = Image.of(old).repository
        except PinInvalid:
            return False  # the id of an image that the engine holds, say
        return self.image is not None and self.image.repository == repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One file that changes."""

    file: str
    plugin_id: str
    old: str
    new: str
    content: bytes


def pinned(files: Mapping[str, bytes], pin: Pin) -> tuple[Sequence[Pinned], int]:
    """The files that change, and how many were meant. Raises InvalidFile, NothingToPin, PinInvalid.

    Files of other plugins are not looked at twice: one that is wrong keeps no other back.
    """
    pin.check()
    changed: list[Pinned] = []
    meant = 0
    for file in sorted(files):
        tree = _tree(files[file], file, pin)
        old = _image(tree) if tree is not None else None
        if tree is None or old is None or not pin.means(name_of(tree), old):
            continue
        meant += 1
        new = str(pin.over(Image.of(old)))
        if new != old:
            content = with_scalar(files[file], file, IMAGE, new)
            changed.append(
                Pinned(file=file, plugin_id=name_of(tree), old=old, new=new, content=content)
            )
    if not meant:
        what = pin.plugin or (pin.image.repository if pin.image else "")
        raise NothingToPin(
            f"found no manifest with spec.source.image of {shown(what)} in {len(files)} files, "
            "expected one; what is built from a folder has no image to pin"
        )
    return changed, meant


def _tree(content: bytes, file: str, pin: Pin) -> Tree | None:
    try:
        return parse_tree(content, file)
    except InvalidFile:
        if pin.plugin is not None and pin.plugin.encode() in content:
            raise  # this may be the one that is meant
        return None


def _image(tree: Tree) -> str | None:
    value = tree.data
    for step in IMAGE:
        value = value.get(str(step)) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
