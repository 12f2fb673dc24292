"""Renders every board with Grafana's own panels, over a real Prometheus: `make test-dashboards`.

Plays the scene of tests/support/scene.py for a while, asks what Grafana would ask, and keeps a
screenshot of each board in docs/images/. Needs an engine, npm, Chromium and Prometheus.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.dashboards.collect import Asker, collect
from tests.support.instance import ROOT, Instance, new_name
from tests.support.prometheus import Prometheus, free_ports, prometheus
from tests.support.scene import SHOP, Scene, upstream
from tests.support.workshop import Workshop
from tests.unit.grafana.boards import BOARDS, load

HERE = Path(__file__).parent
IMAGES = ROOT / "docs" / "images"
WORK_SECONDS = 100.0
ROW_PIXELS = 38
BUNDLE = (
    *("npx", "esbuild", "page.jsx", "--bundle", "--minify", "--outfile=built/page.js"),
    *("--loader:.svg=text", "--loader:.ttf=empty", "--define:global=window"),
    '--define:process.env.NODE_ENV="production"',
    "--log-level=error",
)


def main() -> int:
    """The exit code: 1 where a panel could not be drawn."""
    subprocess.run(
        ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), cwd=HERE, check=True
    )
    subprocess.run(BUNDLE, cwd=HERE, check=True)
    (HERE / "built" / "shell.html").write_text((HERE / "shell.html").read_text())
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shown = _play(Path(folder))
    faults = [fault for name, board in shown.items() for fault in _shoot(name, board)]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


def _play(folder: Path) -> dict[str, dict[str, Any]]:
    """Board → itself and its data."""
    instance = Instance(folder, new_name())
    [listen] = free_ports(1)
    address = f"127.0.0.1:{listen}"
    try:
        with (
            upstream() as web,
            prometheus(folder, target=address, instance=instance.name) as source,
        ):
            scene = Scene(instance, Workshop(instance, folder / "none"), web)
            scene.policy(listen=address)
            scene.write()
            instance.up()
            start = time.time()  # noqa: TID251 - Prometheus' own clock
            instance.run("run-code", "-", stdin=b"1 + 1")
            scene.work(WORK_SECONDS / 2)
            scene.mishaps()
            scene.work(WORK_SECONDS / 2)
            return _collected(source, start)
    finally:
        instance.destroy()
        instance.purge()


def _collected(source: Prometheus, start: float) -> dict[str, dict[str, Any]]:
    end = time.time()  # noqa: TID251 - likewise
    asker = Asker(source=source, plugin=SHOP, start=start, end=end)
    return {path.stem: collect(load(path.name), asker) for path in BOARDS}


def _shoot(name: str, shown: dict[str, Any]) -> list[str]:
    """A screenshot; the panels that could not be drawn."""
    (HERE / "built" / "data.js").write_text(f"window.shown={json.dumps(shown)}")
    places = [panel["gridPos"] for panel in shown["board"]["panels"]]
    height = max(place.get("y", 0) + place["h"] for place in places) * ROW_PIXELS + 80
    page = (HERE / "built" / "shell.html").as_uri()
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    size = (f"--window-size=1632,{height}", "--virtual-time-budget=8000")
    chromium = ("chromium", *flags, *size, "--allow-file-access-from-files")
    subprocess.run(
        (*chromium, f"--screenshot={IMAGES / f'board-{name}.png'}", page),
        check=True,
        capture_output=True,
        timeout=120,
    )
    done = subprocess.run(
        (*chromium, "--dump-dom", page), check=True, capture_output=True, text=True, timeout=120
    )
    if 'data-drawn="yes"' not in done.stdout:
        return [f"{name}: the page was not drawn"]
    faults = re.findall(r'data-fault="([^"]*)"', done.stdout)
    return [f"{name}: {fault}" for fault in faults]


if __name__ == "__main__":
    sys.exit(main())
