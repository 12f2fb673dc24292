"""`python -m orchestrator.daemon --instance NAME`: the process that `up` starts.

`--follow` takes the place of the daemon that runs now; `--log-on-stderr` logs there as well.
"""

import os
import sys
from pathlib import Path

from orchestrator.daemon.run import run
from orchestrator.daemon.settings import settings_from
from orchestrator.daemon.systemd import supervisor_from
from orchestrator.errors import OrchestratorError


def main(arguments: list[str]) -> int:
    """Exit code 0 after an orderly end."""
    instance = arguments[arguments.index("--instance") + 1] if "--instance" in arguments else None
    try:
        run(
            settings_from(
                os.environ, instance=instance, user_home=Path.home(), is_root=os.geteuid() == 0
            ),
            supervisor=supervisor_from(os.environ, pid=os.getpid()),
            follow="--follow" in arguments,
            on_stderr="--log-on-stderr" in arguments,
        )
    except OrchestratorError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
