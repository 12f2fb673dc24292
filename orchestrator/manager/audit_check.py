"""What `doctor` says of the audit log: how large it is, and when it had better be archived."""

from pathlib import Path
from typing import Final

from orchestrator.manager.finding import Finding, Verdict
from orchestrator.store.audit_segments import segments

LARGE_BYTES: Final = 1 << 30
_MIB: Final = 1 << 20


def audit_size(folder: Path) -> Finding:
    """Nothing is read but sizes: `audit verify` walks the records."""
    try:
        sizes = [path.stat().st_size for path in segments(folder)]
    except OSError as error:
        return _finding(Verdict.PROBLEM, str(error), "mend its rights")
    total = sum(sizes)
    found = f"{total / _MIB:,.1f} MiB in {len(sizes)} segments"
    if total < LARGE_BYTES:
        return _finding(Verdict.OK, found, "")
    advice = "`orchestrator audit archive --before 90d FOLDER` moves old records away"
    return _finding(Verdict.WARNING, found, advice)


def _finding(verdict: Verdict, found: str, advice: str) -> Finding:
    return Finding(check="audit log", verdict=verdict, found=found, advice=advice)
