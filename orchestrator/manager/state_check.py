"""What `doctor` says of the state file: sound, damaged, or rebuilt from one that was."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.store.base import RecordStore, StoreCorrupt, StoreTooNew, StoreUnavailable
from orchestrator.store.rebuild import set_aside
from orchestrator.store.sqlite import check

_ADVICE: Final = {
    StoreCorrupt.code: "start the daemon anew: it sets the file aside and saves what can be read",
    StoreTooNew.code: "run the version of the orchestrator that wrote it",
    StoreUnavailable.code: "mend its rights, or make room",
}


def state_file(path: Path) -> Finding:
    """Every page and record is looked at; nothing is changed."""
    verdict, found, advice = Verdict.OK, "not there yet; the daemon makes it", ""
    if path.exists():
        try:
            check(path)
        except (StoreCorrupt, StoreTooNew, StoreUnavailable) as error:
            verdict, found, advice = Verdict.PROBLEM, str(error), _ADVICE[error.code]
        else:
            found = "every record is as it was written"
    asides = set_aside(path)
    if asides and verdict is Verdict.OK:
        verdict = Verdict.WARNING
        found = f"{found}; {len(asides)} damaged before: {asides[-1].name}"
        advice = "`audit --type state` says what was lost; move it away when it is of no more use"
    return _finding(verdict, found, advice)


def state_elsewhere(look: Callable[[], RecordStore | None]) -> Finding:
    """The same of a database: `look` opens it to read."""
    try:
        store = look()
    except OrchestratorError as error:
        return _finding(Verdict.PROBLEM, str(error), "mend the database, or ORCHESTRATOR_STORE")
    if store is not None:
        store.close()
    return _finding(Verdict.OK, "in PostgreSQL; every record is as it was written", "")


def _finding(verdict: Verdict, found: str, advice: str) -> Finding:
    return Finding(check="state file", verdict=verdict, found=found, advice=advice)
