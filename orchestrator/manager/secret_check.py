"""What `doctor` says of secrets: values that cannot be read, files that everybody can read."""

import stat
from collections.abc import Iterable
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.manager.secret_use import used
from orchestrator.manager.secrets import SecretReader
from orchestrator.model.secret_source import Reference

_SHOWN: Final = 3


def secrets_finding(wanted: Iterable[Inputs], reader: SecretReader) -> Finding:
    """Of all that wanted plugins refer to; no value is kept or shown."""
    references = [reference for inputs in wanted for reference in used(inputs).values()]
    bad = [text for one in references if reader.sees(one) and (text := _unreadable(one, reader))]
    if bad:
        return _finding(Verdict.PROBLEM, _some(bad), "mend it: the plugin's next start needs it")
    loose = sorted({str(one.path) for one in references if _is_loose(one)})
    if loose:
        found = f"everybody on this machine can read {_some(loose)}"
        return _finding(Verdict.WARNING, found, "chmod 600, or encrypt it with age")
    return _finding(Verdict.OK, f"{len(references)} in use" if references else "none in use", "")


def _unreadable(reference: Reference, reader: SecretReader) -> str:
    try:
        reader.value(reference)
    except OrchestratorError as error:
        return str(error)
    return ""


def _is_loose(reference: Reference) -> bool:
    """Of plain files; what is encrypted may lie in the open."""
    if reference.source.file is None or reference.path is None:
        return False
    try:
        return bool(reference.path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _some(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _finding(verdict: Verdict, found: str, advice: str) -> Finding:
    return Finding(check="secrets", verdict=verdict, found=found, advice=advice)
