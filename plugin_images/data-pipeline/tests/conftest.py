"""Puts the plugin's folder and the SDK on the import path, and plays the host for its tools."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

_PLUGIN = Path(__file__).parents[1]
for _folder in (_PLUGIN.parent / "sdk", _PLUGIN):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))


@pytest.fixture(scope="session")
def info() -> dict[str, Any]:
    """plugin.yaml as it is."""
    return yaml.safe_load((_PLUGIN / "plugin.yaml").read_text())


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """The share `datasets`, with one table in it, where the plugin under test looks for shares."""
    folder = tmp_path / "mnt" / "datasets"
    folder.mkdir(parents=True)
    (folder / "sales.csv").write_text("region,amount\nnorth,10\nsouth,20\nnorth,5\n")
    return folder


@pytest.fixture
def start(info: dict[str, Any], share: Path) -> Iterator[Callable[..., Any]]:
    """Starts the plugin with plugin.yaml's defaults; its tools then keep to their schemas."""
    # Here, because the folders come on the path above.
    from data_pipeline import DataPipeline  # noqa: PLC0415
    from orchestrator_sdk.testing import PluginTester  # noqa: PLC0415

    class Sandboxed(DataPipeline):
        shares_root = share.parent

    testers: list[PluginTester] = []

    def _start(**config: object) -> Callable[..., Any]:
        properties = info["config_schema"]["properties"]
        defaults = {name: schema["default"] for name, schema in properties.items()}
        whole = {**defaults, **config}
        jsonschema_rs.validate(info["config_schema"], whole)
        tester = PluginTester(
            Sandboxed,
            config=whole,
            permissions={"file_system_read": {"shares": ["datasets"]}, "file_system_write": {}},
        )
        tester.__enter__()
        testers.append(tester)
        return _schema_keeping(tester, info)

    yield _start
    for tester in testers:
        tester.__exit__()


def _schema_keeping(tester: Any, info: dict[str, Any]) -> Callable[..., Any]:
    tools = {tool["name"]: tool for tool in info["tools"]}

    def call(name: str, /, **arguments: object) -> Any:
        jsonschema_rs.validate(tools[name]["input_schema"], arguments)
        answer = tester.tool(name, **arguments)
        jsonschema_rs.validate(tools[name]["output_schema"], json.loads(json.dumps(answer)))
        return answer

    call.tester = tester  # type: ignore[attr-defined]
    return call
