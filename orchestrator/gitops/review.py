"""review: what a branch would change of the manifests of another revision, for people to look at.

It needs neither a daemon nor an engine: what is compared is what the two commits say. What a
plugin that is a finished image asks for lies in the image, and is not looked at; what its manifest
grants is. Nothing of the commits is run.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from orchestrator.engine.folder import folder_digest
from orchestrator.errors import OrchestratorError
from orchestrator.gitops.reading import Reading, short
from orchestrator.gitops.repository import Commit
from orchestrator.manager.preview import FieldChange, differences
from orchestrator.model.info import PluginInfo
from orchestrator.model.load import LoadedManifest, load_plugin_info
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.secret_source import files_of
from orchestrator.policy.decide import decide
from orchestrator.policy.overrides import widened
from orchestrator.policy.widening import manifest_widening


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One plugin as a commit has it."""

    file: str
    loaded: LoadedManifest
    info: PluginInfo | None = None
    """None for a finished image."""
    code: str = ""
    """Digest of the folder that is built."""
    sealed: Mapping[str, str] = field(default_factory=dict)
    """`secrets.NAME` → digest of the encrypted file that the commit holds for it."""
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One commit."""

    commit: Commit
    pieces: Mapping[str, Piece]
    files: frozenset[str] = frozenset()
    """Every manifest's file, good or bad."""
    troubles: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return short(self.commit.sha)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReview:
    """What changes of one plugin."""

    plugin_id: str
    kind: str
    """`added`, `removed` or `changed`."""
    file: str
    widens: tuple[str, ...] = ()
    """What it may more than before, in words."""
    fields: tuple[FieldChange, ...] = ()
    other: tuple[str, ...] = ()
    """What changes that no field says: code, encrypted values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    base: str
    head: str
    plugins: tuple[PluginReview, ...]
    unchanged: int
    troubles: tuple[str, ...]
    """Of the head: what could not be taken up."""

    @property
    def widens(self) -> bool:
        return any(one.widens for one in self.plugins)


def side_of(commit: Commit, reading: Reading, policy: SecurityPolicy | None) -> Side:
    """What a commit says; with a policy, whether that allows it."""
    pieces: dict[str, Piece] = {}
    troubles = [trouble.words for trouble in reading.troubles]
    for file, loaded in sorted(reading.manifests.items()):
        piece = _piece(file, loaded, reading.tree.folder, policy)
        pieces[loaded.manifest.metadata.name] = piece
        if piece.trouble:
            words = piece.trouble.replace(f"{reading.tree.folder}/", "")
            troubles.append(f"{file}: {words}")
    return Side(commit=commit, pieces=pieces, files=reading.files, troubles=tuple(troubles))


def review(base: Side, head: Side) -> Review:
    """Pure. Plugins of the base whose files are wrong in the head are troubles, not removals."""
    names = sorted(
        head.pieces.keys()
        | {name for name, one in base.pieces.items() if one.file not in head.files}
    )
    found = [_review(name, base.pieces.get(name), head.pieces.get(name)) for name in names]
    plugins = tuple(one for one in found if one is not None)
    return Review(
        base=base.name,
        head=head.name,
        plugins=plugins,
        unchanged=len(names) - len(plugins),
        troubles=head.troubles,
    )


def _piece(file: str, loaded: LoadedManifest, root: Path, policy: SecurityPolicy | None) -> Piece:
    build = loaded.build_folder()
    sealed = dict(_sealed(loaded, root))
    if build is None:
        return Piece(file=file, loaded=loaded, sealed=sealed)
    try:
        info = load_plugin_info(build)
        code = folder_digest(build)
        config = loaded.config(info)
        if policy is not None:
            decide(info, loaded.manifest, policy, config=config)
    except OrchestratorError as error:
        return Piece(file=file, loaded=loaded, sealed=sealed, trouble=str(error))
    return Piece(file=file, loaded=loaded, info=info, code=code, sealed=sealed)


def _sealed(loaded: LoadedManifest, root: Path) -> Iterator[tuple[str, str]]:
    """Of encrypted files alone: they may be in a repository; what others hold is not looked at."""
    spec = loaded.manifest.spec
    for group, sources in (("secrets", spec.secrets), ("inject", spec.inject)):
        for name, path in files_of(sources, loaded.path).items():
            file = Path(path).resolve()
            if sources[name].file is None and file.is_relative_to(root.resolve()):
                content = file.read_bytes() if file.is_file() else b""
                yield f"{group}.{name}", hashlib.sha256(content).hexdigest()


def _review(name: str, old: Piece | None, new: Piece | None) -> PluginReview | None:
    if new is None:
        return PluginReview(plugin_id=name, kind="removed", file=old.file if old else "")
    fields = differences(_data(old), _data(new)) if old is not None else ()
    other = tuple(_other(old, new)) if old is not None else ()
    if old is not None and not fields and not other:
        return None
    return PluginReview(
        plugin_id=name,
        kind="changed" if old is not None else "added",
        file=new.file,
        widens=tuple(_widens(old, new)),
        fields=fields,
        other=other,
    )


def _widens(old: Piece | None, new: Piece) -> Iterator[str]:
    before = old.loaded.manifest if old is not None else None
    yield from map(str, manifest_widening(before, new.loaded.manifest))
    if old is not None and old.info is not None and new.info is not None:
        # Held until somebody grants it: `up` and a sync would leave the old version running.
        yield from (f"{one} in plugin.yaml" for one in widened(old.info, new.info))


def _other(old: Piece, new: Piece) -> Iterator[str]:
    if old.info is not None and new.info is not None and old.info.version != new.info.version:
        yield f"version {old.info.version} → {new.info.version}"
    if old.code != new.code and old.code and new.code:
        yield "its code: the image is built anew"
    for name in sorted(old.sealed.keys() & new.sealed.keys()):
        if old.sealed[name] != new.sealed[name]:
            yield f"the encrypted file of {name}"


def _data(piece: Piece | None) -> JsonValue:
    """The manifest as it is written, its patch over it; permissions by name, to tell them apart."""
    data = piece.loaded.data if piece is not None else None
    spec = data.get("spec") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(spec, dict):
        return {}
    granted = piece.loaded.manifest.spec.permissions if piece is not None else ()
    permissions: dict[str, JsonValue] = {
        one.kind: one.model_dump(mode="json", exclude={"kind", "required", "reason"})
        for one in granted
    }
    return {**data, "spec": {**spec, "permissions": permissions}}
