"""The system call filter of every plugin: an allow-list, in the engine's own JSON format.

The profile is a file of its own because people review it. Reading it is the one read in policy/,
and harmless there: it is part of the package, as constant as this module's code.
"""

import errno
import functools
import importlib.resources
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from orchestrator.model.runtime import Runtime

_NETWORK: Final = "only_with_network"
"""Marks the rules of the file that are left out of the baseline."""

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
            "reads or steers another process",
        ),
        **dict.fromkeys(
            ("process_madvise", "process_mrelease"), "reclaims another process's memory"
        ),
        **dict.fromkeys(
            ("add_key", "keyctl", "request_key"), "the kernel's key rings know no namespaces"
        ),
        **dict.fromkeys(
            (
                "mount",
                "umount2",
                "pivot_root",
                "chroot",
                "move_mount",
                "open_tree",
                "mount_setattr",
            ),
            "changes what is mounted where",
        ),
        **dict.fromkeys(("fsopen", "fsconfig", "fsmount", "fspick"), "makes file systems"),
        **dict.fromkeys(("statmount", "listmount"), "shows the host's mounts"),
        **dict.fromkeys(("unshare", "setns"), "enters namespaces, where capabilities come back"),
        **dict.fromkeys(
            ("io_uring_setup", "io_uring_enter", "io_uring_register"),
            "calls the kernel past this filter; a frequent way out of containers",
        ),
        "userfaultfd": "holds the kernel up in the middle of its work",
        "memfd_secret": "hides memory from the host",
        **dict.fromkeys(("bpf", "perf_event_open"), "runs programs in the kernel, or watches it"),
        **dict.fromkeys(
            ("kexec_load", "kexec_file_load", "reboot"), "replaces or stops the kernel"
        ),
        **dict.fromkeys(
            ("init_module", "finit_module", "delete_module", "create_module", "query_module"),
            "the kernel's modules are the host's",
        ),
        **dict.fromkeys(
            ("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
            "the clock is the host's",
        ),
        **dict.fromkeys(
            ("swapon", "swapoff", "acct", "quotactl", "quotactl_fd"), "accounts are the host's"
        ),
        **dict.fromkeys(
            ("name_to_handle_at", "open_by_handle_at"), "opens files past the mounts' limits"
        ),
        **dict.fromkeys(("fanotify_init", "fanotify_mark"), "watches whole file systems"),
        **dict.fromkeys(
            ("mbind", "set_mempolicy", "get_mempolicy", "migrate_pages", "move_pages"),
            "places memory on the host's nodes",
        ),
        "set_mempolicy_home_node": "places memory on the host's nodes",
        **dict.fromkeys(("iopl", "ioperm"), "speaks to the hardware"),
        **dict.fromkeys(("sethostname", "setdomainname"), "the name is the operator's"),
        "syslog": "the kernel's log tells of the host",
        "lookup_dcookie": "tells paths of the host",
        "modify_ldt": "old segments, a source of kernel bugs; only emulators use it",
        "remap_file_pages": "replaced by mmap",
        **dict.fromkeys(
            (
                "mq_open",
                "mq_unlink",
                "mq_timedsend",
                "mq_timedreceive",
                "mq_notify",
                "mq_getsetattr",
            ),
            "queues are counted by user, and all plugins have one",
        ),
        "vhangup": "hangs up a terminal",
        **dict.fromkeys(
            ("nfsservctl", "uselib", "ustat", "sysfs", "_sysctl", "vserver"), "gone or obsolete"
        ),
    }
)
"""System calls that no plugin gets, each with the reason; whatever is not allowed is refused too.

Beside them the filter looks at arguments: `socket` makes AF_UNIX and NETLINK_ROUTE sockets only,
and AF_INET and AF_INET6 where a permission leads to some network; `clone` makes no namespaces;
`clone3` is answered ENOSYS, as its arguments cannot be seen; `ioctl` does everything but TIOCSTI
and TIOCLINUX, which type into terminals, and FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS, by which the
owner of a file moves it out of the project whose quota counts it; `personality` only asks. Calls in
the dialect of another architecture (32 bits, x32) kill the process.
"""


@functools.cache
def seccomp_profile() -> str:
    """The profile as canonical JSON text, without comments: rewording one restarts no plugin."""
    profile = _source()
    profile["syscalls"] = [rule for rule in profile["syscalls"] if not rule.pop(_NETWORK, False)]
    return _canonical(profile)


@functools.cache
def with_network_sockets(profile: str) -> str:
    """`profile` with AF_INET and AF_INET6; the empty one, which filters nothing, as it is.

    Not for everybody, although without a network they lead nowhere: what lies unread in them is
    memory of the host, which the first version of cgroups counts for nobody.
    """
    if not profile:
        return profile
    wider = json.loads(profile)
    added = [rule for rule in _source()["syscalls"] if rule.pop(_NETWORK, False)]
    wider["syscalls"] = [*wider.get("syscalls", []), *added]
    return _canonical(wider)


def _source() -> dict[str, Any]:
    source = importlib.resources.files("orchestrator.policy").joinpath("seccomp.json")
    profile: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    for rule in profile["syscalls"]:
        rule.pop("comment", None)
    return profile


def _canonical(profile: dict[str, Any]) -> str:
    return json.dumps(profile, sort_keys=True, separators=(",", ":"))


def filter_for(runtime: Runtime, profile: str) -> str:
    """The profile as the runtime understands it."""
    return _for_gvisor(profile) if profile and runtime is Runtime.RUNSC else profile


@functools.cache
def _for_gvisor(profile: str) -> str:
    """The same filter as gVisor understands it: it answers EPERM whatever errno a rule names.

    "Not there" is then said by a rule that hands the call to a tracer, and there is none: ptrace
    is refused, too. Without it libc takes no other way, and not one thread could be started.
    """
    found = json.loads(profile)
    for rule in found.get("syscalls", []):
        if rule.pop("errnoRet", None) == errno.ENOSYS:
            rule["action"] = "SCMP_ACT_TRACE"
    return _canonical(found)
