"""compile_spec held to laws: what no permission, and no number of them, may take away."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.container import ContainerSpec
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import FileSystemRead, FileSystemWrite, SystemInfo
from orchestrator.policy.compile import Compiled, compile_spec
from orchestrator.policy.grant import Grant

MIB = 1024 * 1024
HIDDEN = {"/proc/kcore", "/proc/cmdline", "/proc/modules", "/sys/firmware", "/sys/class", "/sys/fs"}
"""Some of the masked paths; test_compile.py has them all."""

SHARES = st.lists(st.sampled_from(["docs", "media", "work"]), unique=True).map(tuple)
READ = st.builds(FileSystemRead, shares=SHARES)
WRITE = st.builds(FileSystemWrite, shares=SHARES)
INFO = st.just(SystemInfo())
# Those that widen the container's files; the others have rows of their own in test_compile.py.
PERMISSIONS = st.lists(
    st.one_of(READ, WRITE, INFO), unique_by=lambda permission: permission.kind
).map(tuple)


def grant(make: Any, *permissions: Any, **changes: Any) -> Grant:
    about = changes.pop("info", {})
    plain: dict[str, Any] = {
        "info": make.info(**about),
        "permissions": permissions,
        "withheld": (),
        "limits": ResourceLimits(),
        "config": {},
    }
    return Grant(**plain | changes)


def compiled(make: Any, *permissions: Any, **changes: Any) -> Compiled:
    return compile_spec(
        grant(make, *permissions, **changes), make.policy(), make.site(), image="sha256:1"
    )


def mounts(spec: ContainerSpec) -> dict[str, tuple[str, bool]]:
    """Target → source and whether it can be written."""
    binds = {m.target: (m.source, not m.read_only) for m in (*spec.bind_mounts, *spec.share_mounts)}
    volumes = {m.target: (m.volume, True) for m in spec.volume_mounts}
    return binds | volumes


@given(permissions=PERMISSIONS, memory=st.integers(8, 4_096))
def test_no_permission_weakens_the_baseline(
    make: Any, permissions: tuple[Any, ...], memory: int
) -> None:
    spec = compiled(make, *permissions, limits=ResourceLimits(max_memory_mb=memory)).spec

    assert spec.user == "65532:65532"
    assert spec.read_only_root is True
    assert spec.no_new_privileges is True
    assert spec.init is True
    assert spec.network_mode == "none"
    assert spec.capabilities == ()
    assert set(HIDDEN) <= set(spec.masked_paths)
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(spec.readonly_paths)
    assert spec.seccomp_profile == make.profile
    assert spec.memory_bytes == memory * MIB
    assert spec.oom_score_adj >= 0


@given(permissions=PERMISSIONS)
def test_nothing_of_the_host_is_mounted_but_granted_shares_and_the_own_sockets(
    make: Any, permissions: tuple[Any, ...]
) -> None:
    found = compiled(make, *permissions)
    readable, writable = set(), set()
    for permission in permissions:
        if permission.kind == "system_info":
            continue
        names = {f"/srv/{name}" for name in permission.shares}
        readable |= names
        writable |= names if permission.kind == "file_system_write" else set()
    everything = (*found.spec.bind_mounts, *found.spec.share_mounts)
    binds = [m for m in everything if not m.target.startswith("/host/")]
    shown = len(everything) - len(binds)

    assert bool(shown) == any(permission.kind == "system_info" for permission in permissions)
    assert {m.source for m in binds} == readable | {f"/state/sockets/{found.sandbox_id}"}
    assert {m.source for m in binds if not m.read_only} == writable


def _all(spec: ContainerSpec) -> tuple[Any, ...]:
    return (*spec.bind_mounts, *spec.share_mounts, *spec.volume_mounts, *spec.tmpfs)


@given(permissions=PERMISSIONS)
def test_no_two_mounts_share_a_target(make: Any, permissions: tuple[Any, ...]) -> None:
    spec = compiled(make, *permissions).spec
    targets = [m.target for m in _all(spec)]

    assert sorted(targets) == sorted(set(targets))


@given(read=READ, write=WRITE)
def test_one_more_permission_takes_nothing_away(make: Any, read: Any, write: Any) -> None:
    info = SystemInfo()
    for one, two in (
        ((read,), (read, write)),
        ((write,), (write, read)),
        ((write,), (write, info)),
        ((info,), (info, read)),
    ):
        few, many = mounts(compiled(make, *one).spec), mounts(compiled(make, *two).spec)
        for target in few.keys() - {"/run/orchestrator"}:
            source, can_write = few[target]

            assert many[target][0] == source
            assert many[target][1] >= can_write


@given(read=READ, write=WRITE)
def test_the_order_of_permissions_does_not_matter(make: Any, read: Any, write: Any) -> None:
    straight = compiled(make, read, write, SystemInfo())

    assert straight == compiled(make, SystemInfo(), write, read)
    assert straight == compiled(make, write, SystemInfo(), read)
