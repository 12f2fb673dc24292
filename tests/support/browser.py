"""Browser: a real one, without a window."""

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any, Final, Self

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
)
PATIENCE_SECONDS: Final = 60.0
SCRIPT: Final = Path(__file__).parents[1] / "e2e" / "browser.sh"


class Browser:
    """Headless Chromium with a profile of its own."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile

    @classmethod
    def installed(cls, profile: Path) -> Self:
        """Where there is none yet, it is installed first."""
        subprocess.run([SCRIPT], check=True, timeout=600)
        return cls(profile)

    def dom(self, address: str) -> str:
        """The page's document once its scripts have had their time."""
        return self._run("--dump-dom", address).decode()

    def screenshot(self, address: str, path: Path, *more: str) -> bytes:
        self._run(f"--screenshot={path}", *more, address)
        return path.read_bytes()

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run(
            [
                "chromium",
                *FLAGS,
                f"--user-data-dir={self._profile}",
                "--virtual-time-budget=15000",
                "--timeout=30000",
                *arguments,
            ],
            capture_output=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


class LivePage:
    """A page that is looked at and clicked on while it lives, by the browser's own protocol.

    Messages are JSON with a zero byte behind, through the descriptors 3 and 4.
    """

    def __init__(self, address: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            # The shell puts the descriptors where the browser looks for them.
            [
                "bash",
                "-c",
                f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}',
                "bash",
                "chromium",
                *FLAGS,
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        self._address, self._session = address, ""
        self._count, self._rest = 0, b""

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _open(self) -> None:
        target = self._say("Target.createTarget", {"url": self._address})["targetId"]
        session = {"targetId": target, "flatten": True}
        self._session = self._say("Target.attachToTarget", session)["sessionId"]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._to.close()
        self._from.close()

    def js(self, expression: str) -> Any:
        """Its value; None also while there is no document yet."""
        asked = {"expression": expression, "returnByValue": True}
        return self._say("Runtime.evaluate", asked).get("result", {}).get("value")

    def _say(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._count:
                found: dict[str, Any] = answer.get("result", {})
                return found

    def _read(self) -> bytes:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], PATIENCE_SECONDS)
            assert ready, "the browser says nothing"
            self._rest += os.read(self._from.fileno(), 1 << 16)
        message, _, self._rest = self._rest.partition(b"\0")
        return message
