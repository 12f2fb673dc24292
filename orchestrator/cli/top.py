"""`orchestrator top`."""

import contextlib
import json
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import asdict
from types import FrameType
from typing import Any, Final, NoReturn

import click

from orchestrator.cli.context import instance_option, json_option, settings_of, tell_version
from orchestrator.cli.report import painted
from orchestrator.cli.top_view import KEYS, SORTS, Look, TopRow, ordered, picture, rows_of
from orchestrator.client.analytics import AnalyticsClient
from orchestrator.client.client import DaemonNotRunning
from orchestrator.monitoring.report_text import without_colours

ENTER: Final = "\x1b[?1049h\x1b[?25l"
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
"""The other screen without a cursor, and back to what was there."""
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUIT: Final = frozenset({"q", "Q", "\x03", "\x04"})


@click.command()
@click.option(
    "--sort", type=click.Choice([*SORTS]), default="calls", help="What comes first [calls]."
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1, max=3_600),
    default=2.0,
    help="Between two looks [2].",
)
@click.option("--once", is_flag=True, help="Look twice, show once, and end.")
@json_option
@instance_option
def command(*, sort: str, interval: float, once: bool, as_json: bool, instance: str | None) -> None:
    """Show live what the plugins do: calls, errors, times, CPU, memory, queues."""
    client = AnalyticsClient(settings_of(instance).socket, on_other_version=tell_version)
    top = _Top(client, interval=interval, sort=sort, instance=settings_of(instance).instance)
    if as_json:
        top.print_json(once=once)
    elif once or not sys.stdout.isatty():
        top.print_once()
    else:
        top.show()


class _Top:
    """Looks at the daemon again and again."""

    def __init__(
        self, client: AnalyticsClient, *, interval: float, sort: str, instance: str
    ) -> None:
        self._client = client
        self._interval = interval
        self._sort = sort
        self._instance = instance
        self._before: Look | None = None
        self._rows: list[TopRow] = []
        self._trouble = ""

    def print_json(self, *, once: bool) -> None:
        """A line of JSON for each pair of looks. Raises DaemonNotRunning."""
        self._look()
        while True:
            time.sleep(self._interval)
            self._look()
            click.echo(json.dumps([asdict(row) for row in ordered(self._rows, self._sort)]))
            if once:
                return

    def print_once(self) -> None:
        """Raises DaemonNotRunning."""
        self._look()
        time.sleep(self._interval)
        self._look()
        width = max(80, shutil.get_terminal_size().columns)
        paint = painted if sys.stdout.isatty() else without_colours
        many = len(self._rows) + 3
        for line in self._picture(width, many, paint=paint, keys=False):
            click.echo(line.rstrip())

    def show(self) -> None:
        """Until q or Ctrl-C; what was on the terminal comes back. Raises DaemonNotRunning."""
        self._look()
        with _screen(), _keys() as keyboard:
            while True:
                self._draw(keyboard)
                if self._waited(keyboard):
                    return
                try:
                    self._look()
                    self._trouble = ""
                except DaemonNotRunning as error:
                    self._trouble = str(error)

    # -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        after = self._client.live()
        self._rows = rows_of(self._before, after)
        self._before = after

    def _draw(self, keyboard: int | None) -> None:
        columns, lines = shutil.get_terminal_size()
        shown = self._picture(columns, lines, paint=painted, keys=keyboard is not None)
        text = "\r\n".join(f"{line}{TO_LINE_END}" for line in shown)
        sys.stdout.write(f"{HOME}{text}{TO_SCREEN_END}")
        sys.stdout.flush()

    def _picture(self, width: int, height: int, *, paint: Any, keys: bool) -> list[str]:
        title = f"orchestrator top · {self._instance} · every {self._interval:g} s"
        title += f" · by {self._sort}"
        return picture(
            self._rows,
            title=self._trouble or title,
            sort=self._sort,
            width=width,
            height=height,
            keys=keys,
            paint=paint,
        )

    def _waited(self, keyboard: int | None) -> bool:
        """Until the next look is due; whether to end. A key that sorts is answered at once."""
        until = time.monotonic() + self._interval
        while (left := until - time.monotonic()) > 0:
            key = _pressed(keyboard, left)
            if key in QUIT:
                return True
            if key in KEYS:
                self._sort = KEYS[key]
                self._draw(keyboard)
        return False


def _pressed(keyboard: int | None, seconds: float) -> str:
    if keyboard is None:
        time.sleep(seconds)
        return ""
    ready, _, _ = select.select([keyboard], [], [], seconds)
    return sys.stdin.read(1) if ready else ""


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """The other screen; signals end it in order, also where whoever started us ignores them."""
    before = {one: signal.signal(one, _interrupt) for one in _ENDING}
    sys.stdout.write(ENTER)
    sys.stdout.flush()
    try:
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        for one, handler in before.items():
            signal.signal(one, handler)


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """Keys one by one and unseen; None where nobody types."""
    if not sys.stdin.isatty():
        yield None
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
