"""Each mask of the baseline is looked for from inside, in tests/attacks/test_proc_and_sys.py."""

from pathlib import PurePosixPath

from orchestrator.policy.baseline import MASKED_PATHS, READONLY_PATHS
from tests.support.hidden import HIDDEN_FILES, HIDDEN_FOLDERS, READ_ONLY

ELSEWHERE = {"/dev/mqueue", "/proc/net/arp", "/proc/sysrq-trigger"}
"""Tried by tests of their own."""


def test_every_masked_path_is_looked_for_or_lies_in_a_folder_that_is_seen_empty() -> None:
    files, folders = {*HIDDEN_FILES, *ELSEWHERE}, set(HIDDEN_FOLDERS)
    untried = [
        path
        for path in MASKED_PATHS
        if path not in files and not folders & {path, *map(str, PurePosixPath(path).parents)}
    ]

    assert untried == []


def test_every_hidden_path_is_masked() -> None:
    assert {*HIDDEN_FILES, *HIDDEN_FOLDERS} <= set(MASKED_PATHS)


def test_every_read_only_path_is_looked_at() -> None:
    assert set(READONLY_PATHS) <= {*READ_ONLY, *ELSEWHERE}
