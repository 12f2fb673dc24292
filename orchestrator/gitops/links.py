"""Links of a commit: written last, and only where they lead to something of the same commit."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.gitops.entries import GitTreeRefused, TreeEntry

MAX_LEFT_OUT: Final = 100


def write_links(root: Path, links: Sequence[tuple[TreeEntry, bytes]]) -> list[str]:
    """All of them first, since one may lead through another; then the machine says where to.

    Those that lead to nothing in the repository are left out; their names. Raises GitTreeRefused
    for one that leads out of it.
    """
    real = root.resolve()
    for entry, content in links:
        if not content or b"\0" in content or content.startswith(b"/"):
            raise _astray(entry, content)
        (root / entry.path).symlink_to(os.fsdecode(content))
    left_out = []
    for entry, content in links:
        inside, there = _leads(root / entry.path, real)
        if not inside:
            raise _astray(entry, content)
        if not there:
            left_out.append(entry.path)
        if len(left_out) > MAX_LEFT_OUT:
            raise GitTreeRefused(
                f"{entry.path!r}: found more than {MAX_LEFT_OUT} links to nothing, expected fewer"
            )
    for path in left_out:
        (root / path).unlink()
    return left_out


def _leads(link: Path, real: Path) -> tuple[bool, bool]:
    """Whether a link stays inside, and whether something is there; one in a circle does neither."""
    try:
        inside = link.resolve().is_relative_to(real)
        return inside, inside and link.exists()
    except (OSError, RuntimeError):
        return False, False


def _astray(entry: TreeEntry, content: bytes) -> GitTreeRefused:
    return GitTreeRefused(
        f"{entry.path!r}: found a link to {os.fsdecode(content)!r}, "
        "expected one to something in the repository"
    )
