"""Mounts of a ContainerSpec as the Docker API has them, both ways; a part of docker_codec.py."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypedDict

from orchestrator.model.container import (
    BindMount,
    ContainerSpec,
    ShareMount,
    Tmpfs,
    VolumeMount,
)

SHARE_OPTIONS = "bind,ro,nosuid,nodev,noexec"
NO_SHARES: Mapping[str, str] = MappingProxyType({})


class Mounts(TypedDict):
    """Fields of ContainerSpec."""

    bind_mounts: tuple[BindMount, ...]
    share_mounts: tuple[ShareMount, ...]
    volume_mounts: tuple[VolumeMount, ...]
    tmpfs: tuple[Tmpfs, ...]


def encode_mounts(spec: ContainerSpec, places: Mapping[str, str]) -> dict[str, Any]:
    """Fields of HostConfig; `places` says where the engine finds writable shares."""
    return {
        "Mounts": [
            *(_bind(it.source, it.target, read_only=it.read_only) for it in spec.bind_mounts),
            *(_share(it, places) for it in spec.share_mounts),
            *map(_volume, spec.volume_mounts),
        ],
        "Tmpfs": {mount.target: _tmpfs_options(mount) for mount in spec.tmpfs},
    }


def told_of_mounts(spec: ContainerSpec) -> dict[str, Any]:
    """What Docker has no field for, or does not keep apart from what is its own."""
    return {
        "shares": {it.target: it.source for it in spec.share_mounts if not it.read_only},
        "tmpfs": [mount.target for mount in spec.tmpfs],
        "volume_bytes": [mount.size_bytes for mount in spec.volume_mounts],
    }


def decode_mounts(host: Mapping[str, Any], told: Mapping[str, Any]) -> Mounts:
    """The spec's fields, from HostConfig and what `told_of_mounts` said."""
    shares: Mapping[str, str] = told.get("shares", NO_SHARES)
    items: list[Mapping[str, Any]] = host.get("Mounts") or []
    binds = [it for it in items if it["Type"] == "bind" and it["Target"] not in shares]
    volumes = [it for it in items if it["Type"] == "volume" and not _is_read_only_share(it)]
    return Mounts(
        bind_mounts=tuple(map(_decode_bind, binds)),
        share_mounts=tuple(_decode_shares(items, shares)),
        volume_mounts=tuple(
            VolumeMount(volume=item["Source"], target=item["Target"], size_bytes=size)
            for item, size in zip(volumes, told["volume_bytes"], strict=True)
        ),
        tmpfs=tuple(_decode_tmpfs(target, host["Tmpfs"][target]) for target in told["tmpfs"]),
    )


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"NonRecursive": True, "Propagation": "rprivate"},
    }


def _share(mount: ShareMount, places: Mapping[str, str]) -> dict[str, Any]:
    """A bind has no noexec in the API, so the mount itself must bring it.

    A nameless volume of the engine's local driver does, and goes with its container; but the
    driver heeds the options of read-only ones only. And `ReadOnly` must not be set beside them:
    the runtime would mount it once more for that, and without any of them.
    """
    if not mount.read_only:
        return _bind(places.get(mount.source, mount.source), mount.target, read_only=False)
    options = {"type": "none", "device": mount.source, "o": SHARE_OPTIONS}
    return {
        "Type": "volume",
        "Target": mount.target,
        "ReadOnly": False,
        "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": options}},
    }


def _volume(mount: VolumeMount) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Source": mount.volume,
        "Target": mount.target,
        "ReadOnly": False,
        "VolumeOptions": {"NoCopy": True},
    }


def _tmpfs_options(mount: Tmpfs) -> str:
    return (
        f"rw,noexec,nosuid,nodev,size={mount.size_bytes}"
        f",nr_inodes={mount.inodes},mode={mount.mode:o}"
    )


def _decode_bind(item: Mapping[str, Any]) -> BindMount:
    # Docker leaves a false ReadOnly out.
    return BindMount(
        source=item["Source"], target=item["Target"], read_only=item.get("ReadOnly", False)
    )


def _is_read_only_share(item: Mapping[str, Any]) -> bool:
    driver = (item.get("VolumeOptions") or {}).get("DriverConfig") or {}
    options: Mapping[str, str] = driver.get("Options") or {}
    return item["Type"] == "volume" and options.get("o") == SHARE_OPTIONS


def _decode_shares(
    items: Iterable[Mapping[str, Any]], writable: Mapping[str, str]
) -> Iterator[ShareMount]:
    for item in items:
        target = item["Target"]
        if _is_read_only_share(item):
            options = item["VolumeOptions"]["DriverConfig"]["Options"]
            yield ShareMount(source=options["device"], target=target)
        elif item["Type"] == "bind" and target in writable:
            read_only = item.get("ReadOnly", False)
            yield ShareMount(source=writable[target], target=target, read_only=read_only)


def _decode_tmpfs(target: str, options: str) -> Tmpfs:
    values = dict(it.partition("=")[::2] for it in options.split(","))
    return Tmpfs(
        target=target,
        size_bytes=int(values["size"]),
        inodes=int(values["nr_inodes"]),
        mode=int(values["mode"], 8),
    )
