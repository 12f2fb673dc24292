"""The plugin that the server is tested with: it runs in a process of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator_sdk import (
    PluginContext,
    PluginError,
    PluginEvent,
    PluginInterface,
    PluginStatus,
    tool,
)


class Tested(PluginInterface):
    def initialize(self, config: Mapping[str, Any], context: PluginContext) -> bool:
        if config.get("refuse"):
            return False
        self.seen: list[list[Any]] = []
        print("initialized", context.limits["max_memory_mb"])  # noqa: T201 - tested
        return True

    def execute(self, input_data: Any) -> Any:
        if input_data == "raise":
            raise KeyError("lost")
        if input_data == "nonsense":
            return object()
        if isinstance(input_data, bytes):
            return input_data[::-1]
        return {
            "echo": input_data,
            "left": self.context.deadline_seconds(),
            "caller": self.context.caller(),
        }

    @tool
    def nap(self, seconds: float, note: str = "") -> dict[str, float]:
        self.context.logger.info("napping")
        time.sleep(seconds)
        return {"slept": seconds}

    @tool
    async def async_nap(self, seconds: float) -> dict[str, float]:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            Path("cancelled").touch()  # noqa: ASYNC240 - a mark for the test
            raise
        return {"slept": seconds}

    @tool
    def until_cancelled(self) -> str:
        while not self.context.cancelled():
            time.sleep(0.01)
        Path("cancelled").touch()
        return "late"

    @tool
    def stream(self, pieces: int, *, fail: bool = False) -> Iterator[bytes]:
        for number in range(pieces):
            yield b"piece %d;" % number
        if fail:
            raise OSError("disk gone")

    @tool
    async def async_stream(self, pieces: int) -> AsyncIterator[bytes]:
        for number in range(pieces):
            await asyncio.sleep(0)
            yield b"piece %d;" % number

    @tool
    def endless(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            Path("closed").touch()

    @tool
    def events(self) -> list[list[Any]]:
        return self.seen

    def handle_event(self, event: PluginEvent) -> None:
        if event.type == "bad":
            raise PluginError("not now", 503)
        self.seen.append([event.type, event.data])

    def cleanup(self) -> bool:
        Path("cleaned").touch()
        return True

    def get_status(self) -> PluginStatus:
        return PluginStatus("degraded", "half", {"events": len(self.seen)})
