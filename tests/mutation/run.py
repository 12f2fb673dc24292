"""`make mutate`: switch each rule off in a copy of the repository, and see its test fail.

Run as `python -m tests.mutation.run [--write] [WORD …]`: only rules that contain a WORD. With
`--write` and no WORD the result goes into docs/mutations.md.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutation.mutations import ROOT, Mutation, mutations

TEST_SECONDS = 600.0
PAGE = ROOT / "docs" / "mutations.md"
_FAILED = re.compile(r"^FAILED (?P<test>\S+::\w+)", re.MULTILINE)
_HEAD = """\
# Rules switched off

Written by `make mutate`: for each row it copies the repository, switches that one rule off in it,
and runs the tests that are said to hold it.
A test that cannot fail proves nothing: here each has failed.

| rule | switched off in | first test that failed |
|---|---|---|
"""


def main(words: list[str]) -> int:
    """0 if every rule's test failed when the rule was off."""
    write = "--write" in words
    wanted = [word for word in words if word != "--write"]
    chosen = [it for it in mutations() if not wanted or any(word in it.rule for word in wanted)]
    rows, survived = [], 0
    for number, mutation in enumerate(chosen, 1):
        failed = _try(mutation)
        survived += not failed
        said = f"caught by {failed}" if failed else "SURVIVED"
        print(f"{number}/{len(chosen)} {mutation.rule}: {said}", flush=True)  # noqa: T201
        rows.append(f"| {mutation.rule} | `{mutation.file}` | `{failed or 'none'}` |\n")
    if write and not wanted:
        PAGE.write_text(_HEAD + "".join(rows))
    print(f"{len(chosen) - survived} of {len(chosen)} caught")  # noqa: T201
    return 1 if survived or not chosen else 0


def _try(mutation: Mutation) -> str:
    """The first test that failed; empty if none did."""
    with _copy() as tree:
        mutation.apply(tree)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", *mutation.tests],
                cwd=tree,
                env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                timeout=TEST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ""  # nothing said so: not caught
    # An error while setting up is no proof: the mutation broke more than its rule.
    found = _FAILED.search(done.stdout)
    if found is None:
        sys.stderr.write(done.stdout[-3_000:] + done.stderr[-3_000:])
    return found["test"] if found else ""


@contextmanager
def _copy() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="orchestrator-mutation-") as name:
        tree = Path(name)
        for file in filter(None, listed.stdout.split("\0")):
            target = tree / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, target, follow_symlinks=False)
        yield tree


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
