"""Reading: the manifests of one commit, each by itself: one bad file keeps no other back."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.gitops.address import check_path
from orchestrator.gitops.entries import GitTreeRefused
from orchestrator.gitops.state import MAX_WORDS, Trouble
from orchestrator.gitops.tree import GitTree
from orchestrator.manager.deployment import Inputs, to_record
from orchestrator.model.environments import ENVIRONMENTS, Patches, read_patches
from orchestrator.model.files import MANIFEST_SUFFIXES, leads_outside
from orchestrator.model.git import GitSource
from orchestrator.model.load import LoadedManifest, load_manifest
from orchestrator.model.problems import FieldPath, InvalidFile
from orchestrator.model.secret_source import files_of

MAX_MANIFESTS = 1_000
"""In one folder, its patches too: far more than a machine runs, and soon read."""
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.EXHAUSTED, Kind.OVERLOADED})
_HERE = ("info", "manifest", "config", "image")
"""Of inputs: what is wanted. The rest is where it lies on this machine."""


class GitRevisionEmpty(OrchestratorError):
    """A commit without any manifest: far more often a mistake than a wish to remove everything."""

    kind, code = Kind.INVALID, "git_revision_empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a commit says is wanted."""

    tree: GitTree
    manifests: Mapping[str, LoadedManifest]
    """By file, below the repository's root."""
    troubles: tuple[Trouble, ...]

    @property
    def files(self) -> frozenset[str]:
        """Every manifest's file, good or bad."""
        return frozenset([*self.manifests, *(trouble.file for trouble in self.troubles)])


def read_tree(tree: GitTree, source: GitSource) -> Reading:
    """Every manifest of the commit. Raises GitRevisionEmpty, GitPathRefused, GitTreeRefused."""
    path = check_path(source.path)
    _check_count(tree, path, source)
    _check_links(tree, path)
    patches = _patches(tree, path, source)
    manifests: dict[str, LoadedManifest] = {}
    troubles = [*_patch_troubles(tree, patches)]
    for file in _files(tree, path):
        try:
            manifests[file] = read_file(tree, file, source, patches)
        except OrchestratorError as error:
            troubles.append(trouble(tree, file, "", error))
    for file, twin in [*_twins(manifests)]:
        name = manifests.pop(file).manifest.metadata.name
        troubles.append(trouble(tree, file, name, twin))
    if not manifests and not troubles:
        raise GitRevisionEmpty(
            f"commit {short(tree.sha)}: found no manifests in {path or 'its root'!r}, expected "
            "some; nothing was removed"
        )
    return Reading(tree=tree, manifests=manifests, troubles=tuple(troubles))


def read_file(
    tree: GitTree, file: str, source: GitSource, patches: Patches | None = None
) -> LoadedManifest:
    """One manifest, that names nothing outside of the repository.

    Raises InvalidFile, EnvironmentUnknown.
    """
    patches = patches or _patches(tree, str(PurePosixPath(file).parent), source)
    loaded = load_manifest(tree.folder / file, patches)
    unsure = [] if patches is None or loaded.patch is not None else patches.problems
    problems = [
        # It may be this one's: without its patch it could come to be what nobody wants.
        loaded.problem((), found=f"{one.file} unreadable", expected="every patch to be right")
        for one in unsure
    ]
    problems += [
        loaded.problem(at, found=found, expected=expected)
        for at, found, expected in _outside(loaded, tree, source)
    ]
    if problems:
        raise InvalidFile(problems)
    return loaded


def _check_count(tree: GitTree, path: str, source: GitSource) -> None:
    folders = [path]
    if source.environment is not None:
        folders.append(f"{path}/{ENVIRONMENTS}/{source.environment}".lstrip("/"))
    count = sum(len(_files(tree, folder)) for folder in folders)
    if count > MAX_MANIFESTS:
        raise GitTreeRefused(
            f"commit {short(tree.sha)}: found {count} manifests in {path or 'its root'!r}, "
            f"expected at most {MAX_MANIFESTS}"
        )


def _check_links(tree: GitTree, path: str) -> None:
    """A manifest that leads to nothing would be one that git no longer has: it could be pruned."""
    for link in map(PurePosixPath, tree.lost_links):
        here = str(link.parent) == (path or ".")
        said = link.suffix in MANIFEST_SUFFIXES or link.name == ENVIRONMENTS
        if (here and said) or link.is_relative_to(PurePosixPath(path) / ENVIRONMENTS):
            raise GitTreeRefused(
                f"commit {short(tree.sha)}: {str(link)!r}: found a link to nothing, expected one "
                "to something in the repository"
            )


def _patches(tree: GitTree, path: str, source: GitSource) -> Patches | None:
    if source.environment is None:
        return None
    return read_patches([tree.folder / path], source.environment)


def _patch_troubles(tree: GitTree, patches: Patches | None) -> Iterator[Trouble]:
    for problem in patches.problems if patches is not None else ():
        file = str(Path(problem.file).relative_to(tree.folder))
        yield trouble(tree, file, "", InvalidFile([problem]))


def trouble(tree: GitTree, file: str, plugin_id: str, error: OrchestratorError) -> Trouble:
    """What is wrong with a file, with the commit before its name."""
    words = str(error).replace(f"{tree.folder}/", f"commit {short(tree.sha)}: ")
    if short(tree.sha) not in words:
        words = f"commit {short(tree.sha)}: {file}: {words}"
    return Trouble(
        file=file,
        plugin_id=plugin_id,
        words=words[:MAX_WORDS],
        denied=error.kind is Kind.DENIED,
    )


def is_passing(error: OrchestratorError) -> bool:
    """Whether it may help to try again though nothing changed."""
    return error.kind in _PASSING


def fingerprint(inputs: Inputs) -> str:
    """Of what is wanted of a plugin, wherever its files lie."""
    record = to_record(inputs)
    text = json.dumps({name: record[name] for name in _HERE}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def short(sha: str) -> str:
    """A commit's id as people read it."""
    return sha[:12]


def _files(tree: GitTree, path: str) -> list[str]:
    folder = tree.folder / path
    found: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        f"{path}/{file.name}" if path else file.name
        for file in found
        if file.suffix in MANIFEST_SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _twins(manifests: Mapping[str, LoadedManifest]) -> Iterator[tuple[str, InvalidFile]]:
    """Of two files with one plugin neither is taken: nobody knows which is meant."""
    by_name: dict[str, list[str]] = {}
    for file, loaded in manifests.items():
        by_name.setdefault(loaded.manifest.metadata.name, []).append(file)
    for name, files in by_name.items():
        for file in files if len(files) > 1 else ():
            others = ", ".join(other for other in files if other != file)
            problem = manifests[file].problem(
                ("metadata", "name"),
                found=f"{name} again ({others} has it)",
                expected="one manifest for each plugin",
            )
            yield file, InvalidFile([problem])


def _outside(
    loaded: LoadedManifest, tree: GitTree, source: GitSource
) -> Iterator[tuple[FieldPath, str, str]]:
    """Paths that a stranger's manifest may not name: it would be given files of this machine."""
    spec = loaded.manifest.spec
    inside = "a folder of the repository"
    build = loaded.build_folder()
    if build is not None and not _is_below(build, [tree.folder]):
        yield ("spec", "source", "build"), f"{spec.source.build!r}", inside
    elif build is not None and (lost := _in_folder(build, tree, tree.lost_links)):
        words = "one to something in the repository"
        yield ("spec", "source", "build"), f"a link to nothing in {lost[0]}", words
    elif build is not None and (pointers := _in_folder(build, tree, tree.lfs_pointers)):
        words = "content of its own; Git LFS is not followed"
        yield ("spec", "source", "build"), f"a pointer to LFS in {pointers[0]}", words
    folders = [tree.folder, *map(Path, source.files)]
    allowed = "a file of the repository, or below one of git.files"
    for field, sources in (("secrets", spec.secrets), ("inject", spec.inject)):
        for name, path in files_of(sources, loaded.path).items():
            if not _is_below(Path(path), folders):
                kind = sources[name].kind
                yield ("spec", field, name, kind), f"{getattr(sources[name], kind)!r}", allowed


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(not leads_outside(path, folder) for folder in folders)


def _in_folder(build: Path, tree: GitTree, files: Iterable[str]) -> list[str]:
    real = build.resolve()
    return [file for file in files if (tree.folder / file).resolve().is_relative_to(real)]
