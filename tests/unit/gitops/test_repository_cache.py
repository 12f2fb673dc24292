"""Our own copy of what was fetched: whatever becomes of it, it is in the way once at most."""

from pathlib import Path

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.gitops.repository import MAX_CACHE_FILES, GitUnreachable
from tests.support.git import Repo
from tests.unit.gitops.conftest import Reader, make_reader



