"""Worker: does what a test asks of it, also what no plugin should."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator_sdk import PluginContext, PluginError, PluginInterface, tool

KEPT = Path("/data/kept")


class Worker(PluginInterface):
    def initialize(self, config: Mapping[str, Any], context: PluginContext) -> bool:
        if config["refuse"]:
            raise PluginError(config["refuse"], code="not_today")
        self.greeting = config["greeting"]
        return True

    @tool
    def greet(self) -> dict[str, Any]:
        return {"greeting": self.greeting}

    @tool
    def say(self, text: str) -> dict[str, Any]:
        print(text, flush=True)  # noqa: T201 - the log is what is tested
        return {}

    @tool
    def remember(self, text: str) -> dict[str, Any]:
        KEPT.write_text(text)
        return {}

    @tool
    def recall(self) -> dict[str, Any]:
        return {"text": KEPT.read_text() if KEPT.exists() else None}

    @tool
    async def rest(self, seconds: float) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        return {"rested": seconds}

    @tool
    def hang(self) -> dict[str, Any]:
        time.sleep(3_600)
        return {}

    @tool
    def leave(self, code: int) -> None:
        os._exit(code)
