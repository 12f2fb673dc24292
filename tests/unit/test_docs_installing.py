"""Nobody is told to install the name `orchestrator` from PyPI: it is another project's there."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.unit.pages import name_of, tracked

BARE_NAME: Final = re.compile(
    r"""pip install (?:--?[\w-]+ )*['"]?orchestrator(?:\[\w+\])?['"`]*(?! @ )(?:\s|$)"""
)
SPOKEN: Final = tracked("*.md", "*.yml", "*.yaml", "orchestrator/*.py", "packaging/*")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pip install orchestrator\n", True),
        ("`pip install 'orchestrator[otel]'`", True),
        ("pip install --quiet orchestrator[postgres] x", True),
        ("`pip install orchestrator[postgres]`", True),
        ("pip install orchestrator-0.1.0-py3-none-any.whl", False),
        ('pip install "orchestrator @ https://example.org/o.whl#sha256=00"', False),
    ],
)
def test_it_would_be_found(text: str, found: bool) -> None:  # noqa: FBT001 - a table of cases
    assert bool(BARE_NAME.search(text)) is found


@pytest.mark.parametrize("path", SPOKEN, ids=name_of)
def test_no_page_no_workflow_and_no_message_says_so(path: Path) -> None:
    assert not BARE_NAME.search(path.read_text())
