"""What only a machine of its own has is tried in one: `make test-vm`, and nowhere else.

Elsewhere these files are not collected: they would fail for want of project quotas and of version 2
of cgroups, and they end the engine.
"""

import os

collect_ignore_glob = [] if os.environ.get("TESTS_IN_VM") else ["test_*.py"]
