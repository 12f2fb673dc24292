"""Which repository a command means: from its options, or from the policy's file."""

import os
from pathlib import Path

from orchestrator.gitops.address import check_path, check_ref, check_url
from orchestrator.model.load import load_instance_config


def git_options(url: str | None, ref: str | None, path: str | None) -> dict[str, str]:
    """What was given of `--git`, `--ref` and `--path`; a local path is made absolute.

    Raises GitUrlRefused, GitRefRefused, GitPathRefused.
    """
    if url is not None:
        local = url.startswith(".") or (":" not in url and Path(url).is_dir())
        url = check_url(os.path.abspath(url) if local else url)  # noqa: PTH100 - `..` goes
    given = {"url": url, "ref": ref and check_ref(ref), "path": path and check_path(path)}
    return {name: value for name, value in given.items() if value is not None}


def has_git(config: Path | None) -> bool:
    """Whether the policy's file says which repository to follow. Raises InvalidFile."""
    return config is not None and load_instance_config(config).git is not None
