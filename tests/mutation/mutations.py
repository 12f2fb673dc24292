"""The mutations: one TOML file a theme, each entry a rule and the code that switches it off.

A rule that is switched off must not endanger the machine that tries it: limits are widened, never
lifted.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One rule, switched off."""

    rule: str
    """What holds no longer, in words; unique."""
    file: str
    find: str
    """Once in `file`."""
    put: str
    tests: tuple[str, ...]
    """What must fail; arguments of pytest."""
    attack: str = ""
    """The row of the table of attacks in docs/security.md that the rule holds."""

    def apply(self, tree: Path) -> None:
        """Switch the rule off in a copy of the repository."""
        path = tree / self.file
        path.write_text(self.applied(path.read_text()))

    def applied(self, text: str) -> str:
        """Raises ValueError unless there is exactly one place."""
        if (times := text.count(self.find)) != 1:
            raise ValueError(f"{self.rule}: found {self.find!r} {times} times in {self.file}")
        return text.replace(self.find, self.put)


def mutations() -> list[Mutation]:
    """All of them, by file and in its order."""
    return [
        Mutation(**{**entry, "tests": tuple(entry["tests"])})
        for path in sorted(FOLDER.glob("*.toml"))
        for entry in tomllib.loads(path.read_text())["mutation"]
    ]
