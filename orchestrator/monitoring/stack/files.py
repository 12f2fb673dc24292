"""The files that the stack reads: dashboards, provisioning, rules, and Prometheus' configuration.

They are shipped in the wheel, and lie in grafana/ in a checkout. They are put into a folder that is
named after what is in it, so that a container's mount tells which it has.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.engine.assets import AssetsMissing
from orchestrator.monitoring.stack.runbook_links import linked

_GLOBS: Final = (
    "dashboards/*.json",
    "provisioning/*/*.yaml",
    "prometheus/rules/*.yaml",
)
_CONFIG: Final = "prometheus/prometheus.yaml"


def assets(package: Path | None = None) -> Path:
    """grafana/, wherever it lies. Raises AssetsMissing."""
    package = package or Path(__file__).resolve().parent
    places = (package / "_assets" / "grafana", package.parents[2] / "grafana")
    for place in places:
        if (place / "dashboards" / "overview.json").is_file():
            return place
    raise AssetsMissing(
        f"The dashboards (dashboards/overview.json) are expected in {places[0]} or {places[1]};"
        " reinstall orchestrator"
    )


def read_files(folder: Path, *, instance: str, runbooks: str = "") -> dict[str, str]:
    """Path below the folder → content, for one instance; `runbooks` is where they are read."""
    found = {
        path.relative_to(folder).as_posix(): path.read_text()
        for pattern in _GLOBS
        for path in sorted(folder.glob(pattern))
    }
    return {**linked(found, runbooks), _CONFIG: prometheus_config(instance)}


def prometheus_config(instance: str) -> str:
    """The same as grafana/prometheus/prometheus.yaml, for one instance; JSON is YAML."""
    target = {"targets": ["127.0.0.1:9464"], "labels": {"instance": instance}}
    config = {
        "global": {
            "scrape_interval": "10s",
            "scrape_timeout": "5s",
            "evaluation_interval": "15s",
        },
        "rule_files": ["rules/*.yaml"],
        "scrape_configs": [{"job_name": "orchestrator", "static_configs": [target]}],
    }
    return json.dumps(config, indent=2) + "\n"


def put_files(files: Mapping[str, str], root: Path) -> Path:
    """Write them below `root`, if they are not there yet; older ones go. The folder."""
    digest = hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()[:16]
    folder = root / digest
    if not folder.is_dir():
        coming = root / f"{digest}.coming"
        shutil.rmtree(coming, ignore_errors=True)
        for name, text in files.items():
            path = coming / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _open(coming)
        coming.rename(folder)
    return folder


def tidy_files(root: Path, *, keep: Path | None) -> None:
    """Take away what no container reads any more."""
    for folder in root.iterdir() if root.is_dir() else ():
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


def _open(folder: Path) -> None:
    """Readable by the containers' user; what leads there is closed to everybody."""
    folder.chmod(0o755)
    for root, folders, files in os.walk(folder):
        for name in folders:
            (Path(root) / name).chmod(0o755)
        for name in files:
            (Path(root) / name).chmod(0o644)
