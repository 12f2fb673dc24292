"""Leftovers: folders and records of sandboxes that are no more.

A step that removes a container takes away what lies beside it. A daemon that is killed in between,
or a container that somebody removes while no daemon runs, leaves that behind: it is found by what
there is, not by what was being done.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from orchestrator.engine.base import LABEL_SANDBOX
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.loop import ReconcileLoop

EVERY_SECONDS: Final = 60.0


class Leftovers:
    """Looks below `roots`, where each sandbox has a folder of its id."""

    def __init__(self, *, fleet: Fleet, loop: ReconcileLoop, roots: tuple[Path, ...]) -> None:
        self._fleet = fleet
        self._loop = loop
        self._roots = roots

    async def run(self) -> None:
        """After the loop's first look, and from time to time; until cancelled."""
        while True:
            await self._loop.passed()
            if not self._loop.engine_lost:
                self.take_away()
            await asyncio.sleep(EVERY_SECONDS)

    def take_away(self) -> None:
        """What belongs to no container, no sandbox, no step and nothing that is wanted."""
        for root in self._roots:
            for folder in _inside(root):
                if not (self._is_kept(folder.name) or is_of_code(folder.name)):
                    shutil.rmtree(folder, ignore_errors=True)
        for sandbox_id in self._fleet.remembered_runs():
            if not self._is_kept(sandbox_id):
                self._fleet.forget_run(sandbox_id)

    def _is_kept(self, sandbox_id: str) -> bool:
        fleet = self._fleet
        kept = {container.label(LABEL_SANDBOX) for container in fleet.containers.values()}
        at_work = {key for keys in fleet.busy.values() for key in keys}
        if sandbox_id in kept | fleet.sandboxes.keys() | at_work:
            return True
        known = [*fleet.deployments.values()]
        known += [one for revisions in fleet.earlier.values() for one in revisions.values()]
        # Replicas' ids begin with their revision's; what cannot be read may be any of its plugin's.
        beginnings = (*(each.compiled.sandbox_id for each in known), *fleet.unread)
        return sandbox_id.startswith(beginnings)


def _inside(root: Path) -> list[Path]:
    try:
        return [*root.iterdir()]
    except OSError:  # never made; or `down` takes the whole of it away
        return []


def is_of_code(name: str) -> bool:
    """Whether a folder is a code sandbox's, which looks after its own.

    `code-` and eight characters: what follows a plugin's id is longer.
    """
    return len(name) == len("code-12345678") and name.startswith("code-")
